// One strict pass over JSON text (RFC 8259) that copies it and replaces what a mask selects. It builds
// no objects: neither a big number, a repeated member nor `__proto__` can come out differently.
import { AT_ROOT, stepInto, type PathState } from './json-path.ts'
import { replaceAll, type Masked } from './mask-pattern.ts'
import type { Mask } from './mask.ts'

/** Deeper documents are refused; the reader is recursive (G-9). */
const MAX_DEPTH = 200

/** The edited text, or null when it is not JSON. */
export function editJson(text: string, mask: Mask): Masked | null {
  const editor = new JsonEditor(text, mask)
  return editor.isWhole() ? { text: editor.output(), count: editor.count } : null
}

/** The replacement of a value, or how far each path has come. */
type Plan = { readonly replacement: string } | { readonly states: readonly PathState[] }

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const LITERAL = /true|false|null/y

class JsonEditor {
  count = 0
  readonly #text: string
  readonly #mask: Mask
  readonly #edits: string[] = []
  #copied = 0
  #at = 0

  constructor(text: string, mask: Mask) {
    this.#text = text
    this.#mask = mask
  }

  isWhole(): boolean {
    const states = this.#mask.paths.map(() => AT_ROOT)
    return this.#value({ states }, 0) && this.#at === this.#text.length
  }

  output(): string {
    return this.#edits.join('') + this.#text.slice(this.#copied)
  }

  /** Reads one value with the space around it; false when there is none. */
  #value(plan: Plan | null, depth: number): boolean {
    this.#space()
    const start = this.#at
    const inside = plan !== null && 'replacement' in plan ? null : plan
    if (!this.#bareValue(inside, depth)) return false
    if (plan !== null && 'replacement' in plan) this.#replace(start, plan.replacement)
    this.#space()
    return true
  }

  #bareValue(plan: { readonly states: readonly PathState[] } | null, depth: number): boolean {
    const first = this.#text[this.#at]
    if (first === '{' || first === '[') {
      return depth < MAX_DEPTH && this.#container(first, plan, depth + 1)
    }
    const start = this.#at
    if (first === '"') {
      if (!this.#string()) return false
      if (plan !== null) this.#maskString(start)
      return true
    }
    if (this.#take(LITERAL)) return true
    if (!this.#take(NUMBER)) return false
    if (plan !== null) this.#maskNumber(start)
    return true
  }

  #container(
    open: '{' | '[',
    plan: { readonly states: readonly PathState[] } | null,
    depth: number,
  ): boolean {
    const close = open === '{' ? '}' : ']'
    this.#at++
    this.#space()
    if (this.#skip(close)) return true
    for (let index = 0; ; index++) {
      const child = open === '[' ? index : this.#member(plan !== null)
      if (child === null || !this.#value(plan === null ? null : this.#plan(plan, child), depth)) {
        return false
      }
      if (this.#skip(close)) return true
      if (!this.#skip(',')) return false
    }
  }

  /** A member's name and its colon; null when they are not there. */
  #member(isMasked: boolean): string | null {
    this.#space()
    const start = this.#at
    if (!this.#string()) return null
    const name = this.#decoded(start)
    if (isMasked) this.#maskString(start)
    this.#space()
    return this.#skip(':') ? name : null
  }

  #string(): boolean {
    if (!this.#skip('"')) return false
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === 0x22) return this.#skip('"')
      if (code === 0x5c) {
        if (!this.#take(ESCAPE)) return false
      } else if (code >= 0x20) this.#at++
      // A control character, or NaN at the end of the text.
      else return false
    }
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #plan(plan: { readonly states: readonly PathState[] }, child: string | number): Plan {
    const states: PathState[] = []
    let isSame = true
    for (const mask of this.#mask.paths) {
      const before = plan.states[states.length] ?? 0
      const state = stepInto(mask.path, before, child)
      if (state === 'selected') return { replacement: mask.replacement }
      isSame &&= state === before
      states.push(state)
    }
    return isSame ? plan : { states }
  }

  #maskString(start: number): void {
    if (this.#mask.patterns.length === 0) return
    const masked = replaceAll(this.#mask.patterns, this.#decoded(start))
    if (masked.count === 0) return
    this.count += masked.count - 1
    this.#replace(start, masked.text)
  }

  /** A card number may be written as a number: it is replaced whole, by a string. */
  #maskNumber(start: number): void {
    const literal = this.#text.slice(start, this.#at)
    const found = this.#mask.patterns.find(({ pattern }) => pattern.test(literal))
    if (found !== undefined) this.#replace(start, found.replacement)
  }

  #decoded(start: number): string {
    const token = this.#text.slice(start, this.#at)
    // #string has accepted the token, so JSON.parse gives a string.
    return token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1)
  }

  #replace(start: number, replacement: string): void {
    this.#edits.push(this.#text.slice(this.#copied, start), JSON.stringify(replacement))
    this.#copied = this.#at
    this.count++
  }

  #take(token: RegExp): boolean {
    token.lastIndex = this.#at
    if (!token.test(this.#text)) return false
    this.#at = token.lastIndex
    return true
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }
}
