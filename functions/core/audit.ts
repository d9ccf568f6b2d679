// The audit event: one per decision, grant, action, outcome, refusal and admin change. Declared and
// attested facts stay apart; tokens and credentials appear by SHA-256 only.
import type { JsonObject, JsonValue } from './identity.ts'
import type { Hashing } from './ports.ts'

export type EventType =
  | 'decision'
  | 'grant'
  | 'action'
  | 'outcome'
  | 'refusal'
  | 'revocation'
  /** A session narrowed, suspended or restored; a security event that was received. */
  | 'state'
  | 'admin'

/** Everything of an event but its place in the log. Absent facts are null, so that the field set is fixed (AUD-9). */
export type EventDraft = {
  readonly id: string
  /** RFC 3339 UTC with milliseconds. */
  readonly time: string
  readonly type: EventType
  readonly decision_id: string
  readonly session_id: string | null
  /** `{auth_method}:{subject}`, or `admin:…` for administration; null before anybody was verified. */
  readonly identity: string | null
  readonly agent: { readonly declared: JsonObject | null; readonly attested: JsonObject | null }
  readonly intent: JsonObject | null
  readonly origin: { readonly declared: JsonObject | null; readonly attested: JsonObject | null }
  readonly action: JsonObject | null
  readonly scope: string | null
  /** `allow`, `deny`, `review`, or what became of a call. */
  readonly outcome: JsonObject
  /** Stable word for the log; the wire gets a generic sentence. */
  readonly reason: string | null
  readonly policy_revision: number
}

/** An event in its place: `chain` is the session id, or the event's own chain where there is no session. */
export type ChainedEvent = EventDraft & {
  readonly chain: string
  /** 1, 2, 3 … within the chain; a gap shows a deleted row. */
  readonly chain_seq: number
  /** `hash` of the event before it in the chain; null for the first. */
  readonly prev_hash: string | null
  /** SHA-256 over the canonical JSON of everything else, hex. */
  readonly hash: string
}

export type ChainHead = { readonly seq: number; readonly hash: string | null }

export const EMPTY_CHAIN: ChainHead = { seq: 0, hash: null }

/** Puts an event behind `head`. The hash covers chain, place and the previous hash. */
export function chainEvent(
  draft: EventDraft,
  chain: string,
  head: ChainHead,
  hashing: Hashing,
): ChainedEvent {
  const placed = { ...draft, chain, chain_seq: head.seq + 1, prev_hash: head.hash }
  return { ...placed, hash: hashing.sha256Hex(canonicalJson(placed)) }
}

/** RFC 8785 canonical JSON of plain values: members sorted by UTF-16 code units, no white space. */
export function canonicalJson(value: JsonValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return Array.isArray(value) ? canonicalArray(value) : canonicalObject(value as JsonObject)
}

function canonicalArray(array: readonly JsonValue[]): string {
  let text = '['
  for (let at = 0; at < array.length; at += 1) {
    if (at > 0) text += ','
    // As with JSON.stringify, nothing in a list is null.
    text += canonicalJson(array[at] ?? null)
  }
  return `${text}]`
}

function canonicalObject(object: JsonObject): string {
  let text = '{'
  for (const name of sortedNames(object)) {
    const member = object[name]
    if (member === undefined) continue
    if (text.length > 1) text += ','
    text += `${JSON.stringify(name)}:${canonicalJson(member)}`
  }
  return `${text}}`
}

/** Sorted by insertion while there are few, which is several times faster than sort() and as exact. */
const FEW_NAMES = 24

function sortedNames(object: JsonObject): readonly string[] {
  const names = Object.keys(object)
  if (names.length > FEW_NAMES) return names.sort()
  for (let at = 1; at < names.length; at += 1) {
    const name = names[at] ?? ''
    let to = at
    // `<` on strings compares UTF-16 code units, as sort() does.
    for (; to > 0 && name < (names[to - 1] ?? ''); to -= 1) names[to] = names[to - 1] ?? ''
    names[to] = name
  }
  return names
}
