// Reads the `config` of an Auth Method or a target member by member and notes every mistake, with its
// path, instead of stopping at the first. What it returns is used only when nothing was noted.
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { DocumentError } from '../core/policy.ts'
import { pointer } from './pointer.ts'

export type Mistake = { readonly code: string; readonly message: string }

const NOT_TEXT = { code: 'type', message: 'must be of type string' }

export class ConfigReader {
  readonly errors: DocumentError[] = []
  readonly config: JsonObject

  constructor(config: JsonObject) {
    this.config = config
  }

  note(mistake: Mistake, ...steps: readonly PropertyKey[]): void {
    this.errors.push({ path: pointer('config', ...steps), ...mistake })
  }

  /** Takes over what a reader of the object at `member` has noted. */
  adopt(inner: ConfigReader, member: string): void {
    const prefix = pointer('config')
    for (const { path, ...mistake } of inner.errors) {
      this.errors.push({
        path: `${pointer('config', member)}${path.slice(prefix.length)}`,
        ...mistake,
      })
    }
  }

  get(member: string): JsonValue | undefined {
    return Object.hasOwn(this.config, member) ? this.config[member] : undefined
  }

  /** Refuses members that are not listed, so that a misspelt restriction is not an absent one. */
  allowOnly(members: readonly string[]): void {
    for (const member of Object.keys(this.config)) {
      if (members.includes(member)) continue
      this.note({ code: 'unknown_member', message: 'is not a member of this type' }, member)
    }
  }

  text(member: string, mistakeOf: (text: string) => Mistake | null): string | undefined {
    const value = this.get(member)
    if (value === undefined) return undefined
    if (typeof value !== 'string') {
      this.note(NOT_TEXT, member)
      return undefined
    }
    const mistake = mistakeOf(value)
    if (mistake !== null) this.note(mistake, member)
    return value
  }

  /** Like text(), and absence is a mistake. */
  requiredText(member: string, mistakeOf: (text: string) => Mistake | null): string {
    this.#require(member)
    return this.text(member, mistakeOf) ?? ''
  }

  /** A list of distinct texts that is not empty; an absent one is a mistake unless there is a default. */
  texts(
    member: string,
    rules: {
      readonly maxItems: number
      readonly absent?: readonly string[]
      readonly mistakeOf: (text: string) => Mistake | null
    },
  ): readonly string[] {
    const value = this.get(member)
    if (value === undefined && rules.absent !== undefined) return rules.absent
    if (!this.#require(member)) return []
    if (!Array.isArray(value)) {
      this.note({ code: 'type', message: 'must be of type array' }, member)
      return []
    }
    const list = value as readonly JsonValue[]
    if (list.length === 0 || list.length > rules.maxItems) {
      this.note({ code: 'range', message: `must list 1 to ${rules.maxItems} values` }, member)
    }
    const texts: string[] = []
    for (const [i, item] of list.entries()) {
      const mistake = itemMistake(item, texts, rules.mistakeOf)
      if (mistake !== null) this.note(mistake, member, i)
      if (typeof item === 'string') texts.push(item)
    }
    return texts
  }

  wholeNumber(
    member: string,
    range: { readonly min: number; readonly max: number; readonly absent: number },
  ): number {
    const value = this.get(member)
    if (value === undefined) return range.absent
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      this.note({ code: 'type', message: 'must be a whole number' }, member)
      return range.absent
    }
    if (value < range.min || value > range.max) {
      this.note({ code: 'range', message: `must be ${range.min} to ${range.max}` }, member)
    }
    return value
  }

  flag(member: string, absent = false): boolean {
    const value = this.get(member)
    if (value === undefined) return absent
    if (typeof value !== 'boolean') {
      this.note({ code: 'type', message: 'must be of type boolean' }, member)
    }
    return value === true
  }

  #require(member: string): boolean {
    if (this.get(member) !== undefined) return true
    this.note({ code: 'required', message: 'is required' }, member)
    return false
  }
}

function itemMistake(
  item: JsonValue,
  before: readonly string[],
  mistakeOf: (text: string) => Mistake | null,
): Mistake | null {
  if (typeof item !== 'string') return NOT_TEXT
  if (before.includes(item)) return { code: 'value', message: 'is listed twice' }
  return mistakeOf(item)
}
