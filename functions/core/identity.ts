// A verified caller. Only auth-methods/ build one, and only from what a verifier returned (RB-13).
import type { AssertionGrant } from './assertion-grant.ts'
import type { Seconds } from './ports.ts'
import type { Revocable } from './security-event.ts'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export type JsonObject = { readonly [member: string]: JsonValue }

export type Identity = {
  /** Name of the Auth Method that verified it. */
  readonly method: string
  readonly methodType: string
  /** Whether the method vouches for a workload or for a user. */
  readonly kind: 'workload' | 'user'
  readonly subject: string
  /** Verified claims only. For JWTs the whole payload, `act` cut to the outermost actor (C10). */
  readonly claims: JsonObject
  /** The whole chain of actors that the attestation carried; informational (RFC 8693 §4.1). */
  readonly act: JsonObject | null
  /** When the attestation itself expires; null where it has no end of its own. */
  readonly expiresAt: Seconds | null
  /** SHA-256 of the presented token, hex. The token itself is never kept. */
  readonly attestationHash: string
  /** Consumed with the decision when the method is `single_use`; absent otherwise. */
  readonly singleUse?: { readonly key: string; readonly expiresAt: Seconds }
  /** What it was issued for and to whom, where it is a grant and no attestation (ID-JAG). */
  readonly grant?: AssertionGrant
  /** Of a method that believes security events: refused when one came after it was issued. */
  readonly revocable?: Revocable
  /** What it proves of why it was issued, e.g. that a schedule started the run; absent: nothing. */
  readonly origin?: JsonObject
  /** Facts for the audit event, such as the age of the key set that was used (DEP-3). */
  readonly evidence: JsonObject
}

/** `{auth_method}:{subject}`: the `sub` of a handle and the `identity` of an audit event. */
export function identityName(identity: Pick<Identity, 'method' | 'subject'>): string {
  return `${identity.method}:${identity.subject}`
}
