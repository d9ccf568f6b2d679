// Finds where an RE2 program matches; the engine itself only tells whether it does. A Pike machine runs
// all alternatives at once (https://swtch.com/~rsc/regexp/regexp2.html), so that each character costs at
// most one step per instruction, whatever the text is.
import type { RE2JS } from '@bufbuild/re2'

export type Program = ReturnType<RE2JS['re2']>['prog']

/** `readTo` is how far the text had to be read to be certain: at least `end`. */
export type Match = { readonly start: number; readonly end: number; readonly readTo: number }

export type Find = (text: string, from: number) => Match | null

// The engine exports neither its instruction codes (Inst.js) nor its facts (Utils.js); its version is
// pinned, and the tests compare every match with another engine's.
const ALT = 1
const ALT_MATCH = 2
const CAPTURE = 3
const EMPTY_WIDTH = 4
const FAIL = 5
const MATCH = 6
const NOP = 7

const BEGIN_LINE = 0x01
const END_LINE = 0x02
const BEGIN_TEXT = 0x04
const END_TEXT = 0x08
const WORD_BOUNDARY = 0x10
const NO_WORD_BOUNDARY = 0x20

type Place = { readonly at: number; readonly rune: number; readonly facts: number }

/** The leftmost match; of those the one the pattern prefers. Empty ones do not count. */
export function findIn(program: Program): Find {
  const advance = advanceIn(program)
  return (text, from) => {
    let threads = new Threads()
    let next = new Threads()
    let found: { readonly start: number; readonly end: number } | null = null
    let before = from > 0 ? text.charCodeAt(from - 1) : -1
    for (let at = from; ;) {
      const rune = text.codePointAt(at) ?? -1
      const place = { at, rune, facts: factsBetween(before, rune) }
      // What begins later is worth less, and nothing once there is a match.
      if (found === null) threads.add(program.start, at)
      const start = advance(threads, place, next)
      if (start !== null) found = { start, end: at }
      if (found !== null && next.size === 0) return { ...found, readTo: at }
      if (rune < 0) return null
      before = rune
      at += rune > 0xffff ? 2 : 1
      ;[threads, next] = [next, threads]
    }
  }
}

/** Fills `next` with what survives the character at `place`; answers where a match ending before it began. */
function advanceIn({ inst: instructions }: Program) {
  const seen = new Uint32Array(instructions.length)
  const todo: number[] = []
  let turn = 0
  return (threads: Threads, { at, rune, facts }: Place, next: Threads): number | null => {
    next.clear()
    if (turn === 0xffff_ffff) seen.fill((turn = 0))
    turn++
    for (let i = 0; i < threads.size; i++) {
      const start = threads.startOf(i)
      todo.push(threads.instructionOf(i))
      for (let pc = todo.pop(); pc !== undefined; pc = todo.pop()) {
        const instruction = instructions[pc]
        // Who was here first is preferred, and from here on they are the same.
        if (instruction === undefined || seen[pc] === turn) continue
        seen[pc] = turn
        const { op, out, arg } = instruction
        if (op === ALT || op === ALT_MATCH) todo.push(arg, out)
        else if (op === CAPTURE || op === NOP) todo.push(out)
        else if (op === EMPTY_WIDTH) {
          if ((arg & ~facts) === 0) todo.push(out)
        } else if (op === MATCH) {
          if (at === start) continue
          // What is left to do, and the threads that follow, are worth less than this match.
          todo.length = 0
          return start
        } else if (op !== FAIL && rune >= 0 && instruction.matchRune(rune)) next.add(out, start)
      }
    }
    return null
  }
}

/** Instructions to run at the next character, each with where its match began; the preferred first. */
class Threads {
  readonly #pairs: number[] = []
  size = 0

  add(instruction: number, start: number): void {
    this.#pairs[this.size * 2] = instruction
    this.#pairs[this.size * 2 + 1] = start
    this.size++
  }

  instructionOf(index: number): number {
    return this.#pairs[index * 2] ?? 0
  }

  startOf(index: number): number {
    return this.#pairs[index * 2 + 1] ?? 0
  }

  clear(): void {
    this.size = 0
  }
}

/** What holds between two characters; -1 is where the text begins or ends. */
function factsBetween(before: number, after: number): number {
  let facts = isWord(before) === isWord(after) ? NO_WORD_BOUNDARY : WORD_BOUNDARY
  if (before < 0) facts |= BEGIN_TEXT | BEGIN_LINE
  if (before === 0x0a) facts |= BEGIN_LINE
  if (after < 0) facts |= END_TEXT | END_LINE
  if (after === 0x0a) facts |= END_LINE
  return facts
}

/** ASCII only, as RE2 has it. */
function isWord(rune: number): boolean {
  return (
    (rune >= 0x61 && rune <= 0x7a) ||
    (rune >= 0x41 && rune <= 0x5a) ||
    (rune >= 0x30 && rune <= 0x39) ||
    rune === 0x5f
  )
}
