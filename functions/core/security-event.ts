// What a security event means for the sessions of its subject (CAEP 1.0, RISC 1.0, SSF 1.0): a table. An
// event can only tighten; what says that something got better changes nothing.
import type { JsonObject, JsonValue } from './identity.ts'
import { CLOCK_SKEW_SECONDS, type Hashing, type Seconds } from './ports.ts'
import type { Result } from './result.ts'
import { NARROWED_TO_READ, type Tightening } from './session-state.ts'

/** `typ` of a security event token (RFC 8417 §2.3): of it and of nothing else that is accepted here. */
export const SET_TYPE = 'secevent+jwt'

/** Error codes of RFC 8935 §2.4 that are used. */
export type SetError =
  | 'invalid_request'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'

/** Why a security event token was not taken. */
export type SetFault = {
  readonly err: SetError
  /** Stable word. Until the transmitter is authenticated the wire is told none of them. */
  readonly reason: string
  /** The transmitter was authenticated: it may know what is wrong, and the log says so. */
  readonly authenticated?: true
  /** Its keys could not be had: it has to try again, or a revocation would be lost. */
  readonly retry?: true
}

/** A security event token whose signature, issuer, audience and time hold. */
export type VerifiedSet = {
  readonly jti: string
  readonly issuedAt: Seconds
  readonly event: { readonly type: string; readonly payload: JsonObject }
  readonly subjectId: JsonObject
  /** The subject as the Auth Method names it; null when it is none of the method's. */
  readonly subject: string | null
}

/** Whose security events an Auth Method believes about its own identities. */
export type Transmitter = {
  /** `iss` of its tokens. */
  readonly issuer: string
  /** `authorization`: the bearer token that came with the request, null without one. */
  verify(token: string, authorization: string | null): Promise<Result<VerifiedSet, SetFault>>
}

export type Consequence =
  | { readonly kind: 'tighten'; readonly tightening: Tightening }
  /** Understood, and nothing follows from it; or unknown, and nothing can. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'malformed'; readonly member: string }

/** An attestation of a subject that events may be about: how to find out whether one was. */
export type Revocable = { readonly key: string; readonly issuedAt: Seconds }

/**
 * How long it is remembered that a subject was revoked: as long as an attestation that was issued before
 * could pass, a week at most (auth-methods/jwt-config.ts), and the clock skew.
 */
export const REMEMBERED_SECONDS = 604_800 + CLOCK_SKEW_SECONDS

export function revocationKey(method: string, subject: string, hashing: Hashing): string {
  return hashing.sha256Hex(JSON.stringify(['revoked', method, subject]))
}

const ENDED: Tightening = { to: 'ended' }
const SUSPENDED: Tightening = { to: 'suspended' }

/** By the value of one member of the event; null follows from nothing. */
type ByMember = {
  readonly member: string
  readonly values: Readonly<Record<string, Tightening | null>>
  /** For values that are not listed: worse than what is known, as far as anybody can tell. */
  readonly otherwise: Tightening
  /** Where the member is optional. */
  readonly absent?: Tightening
}

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'

const CONSEQUENCES: Readonly<Record<string, Tightening | ByMember>> = {
  [`${CAEP}session-revoked`]: ENDED,
  [`${RISC}account-disabled`]: ENDED,
  [`${RISC}account-purged`]: ENDED,
  [`${RISC}credential-compromise`]: SUSPENDED,
  // The session stands on claims that are no longer true.
  [`${CAEP}token-claims-change`]: SUSPENDED,
  [`${CAEP}credential-change`]: {
    member: 'change_type',
    values: { create: NARROWED_TO_READ, update: SUSPENDED, revoke: SUSPENDED, delete: SUSPENDED },
    otherwise: SUSPENDED,
  },
  [`${CAEP}device-compliance-change`]: {
    member: 'current_status',
    values: { compliant: null, 'not-compliant': SUSPENDED },
    otherwise: SUSPENDED,
  },
  [`${CAEP}risk-level-change`]: {
    member: 'current_level',
    values: { LOW: null, MEDIUM: NARROWED_TO_READ, HIGH: SUSPENDED },
    otherwise: SUSPENDED,
  },
  [`${CAEP}assurance-level-change`]: {
    member: 'change_direction',
    values: { increase: null, decrease: NARROWED_TO_READ },
    otherwise: NARROWED_TO_READ,
    absent: NARROWED_TO_READ,
  },
}

export function consequenceOf({ type, payload }: VerifiedSet['event']): Consequence {
  const rule = Object.hasOwn(CONSEQUENCES, type) ? CONSEQUENCES[type] : undefined
  if (rule === undefined) return { kind: 'nothing' }
  if (!('member' in rule)) return { kind: 'tighten', tightening: rule }
  const value: JsonValue | undefined = payload[rule.member]
  if (value === undefined && rule.absent !== undefined) {
    return { kind: 'tighten', tightening: rule.absent }
  }
  if (typeof value !== 'string') return { kind: 'malformed', member: rule.member }
  const tightening = Object.hasOwn(rule.values, value) ? rule.values[value] : rule.otherwise
  return tightening ? { kind: 'tighten', tightening } : { kind: 'nothing' }
}
