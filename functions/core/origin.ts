// Where a session comes from, as far as a token proves it. What the caller says of it stays in the intent,
// as declared; the two are recorded side by side and never fill in for each other.
import type { Identity, JsonObject } from './identity.ts'

/** Who was verified when a session opened. */
export type OriginEvidence = {
  /** The acting party. */
  readonly identity: Pick<Identity, 'origin'>
  /** The user of a delegation or impersonation. */
  readonly onBehalfOf?: { readonly identity: string; readonly relation: string } | null
  /** Of a sub-agent: root first, parent last. */
  readonly lineage?: { readonly ancestors: readonly string[] } | null
}

/**
 * A parent session before a user before a schedule: the nearest cause that is proven. A parent's own
 * origin is in its own events.
 */
export function attestedOrigin(evidence: OriginEvidence): JsonObject | null {
  const parent = evidence.lineage?.ancestors.at(-1)
  if (parent !== undefined) {
    return { kind: 'upstream', id: parent, root: evidence.lineage?.ancestors[0] ?? parent }
  }
  const user = evidence.onBehalfOf ?? null
  if (user !== null) return { kind: 'user', id: user.identity, relation: user.relation }
  return evidence.identity.origin ?? null
}
