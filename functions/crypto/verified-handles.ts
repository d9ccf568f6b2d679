// Handles whose signature was checked, so that a repeated one costs no second check. Only verified ones
// enter, so a stranger cannot push others out. The owner decides when an entry has ended.
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Seconds } from '../core/ports.ts'

export type VerifiedHandle = {
  readonly kid: string
  readonly exp: Seconds
  readonly claims: JsonObject
}

/** At most `capacity`; the least recently used goes first. */
export function createVerifiedHandles(capacity: number) {
  const entries = new Map<string, VerifiedHandle>()
  return {
    get(key: string): VerifiedHandle | undefined {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry
    },
    put(key: string, entry: VerifiedHandle): void {
      entries.set(key, entry)
      if (entries.size <= capacity) return
      const oldest = entries.keys().next()
      if (oldest.done !== true) entries.delete(oldest.value)
    },
    delete(key: string): void {
      entries.delete(key)
    },
  }
}

/** Claims are shared by every request with this handle: nobody may change them for another. */
export function freeze<T extends JsonValue>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const member of Object.values(value)) freeze(member)
  return Object.freeze(value)
}
