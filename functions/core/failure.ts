// Everything a caller can cause. A Failure carries facts for the audit log, never a secret and never
// prose to be matched on. `functions/http/error.ts` is the only place that turns one into an answer.
import type { Approval } from './approval.ts'
import type { DocumentError } from './policy.ts'

/** Why a presented token was refused. The audit log gets it; the wire never does (ER-09, RB-15). */
export type AttestationReason =
  | 'malformed'
  | 'unsupported_type'
  | 'unknown_issuer'
  | 'ambiguous_method'
  | 'method_disabled'
  | 'algorithm_not_allowed'
  | 'header_not_allowed'
  | 'type_not_allowed'
  | 'unknown_key'
  | 'key_mismatch'
  | 'keys_unreachable'
  | 'keys_stale'
  /** Its issuer was asked, and does not vouch for it (any more). */
  | 'inactive'
  | 'bad_signature'
  | 'missing_claim'
  | 'claim_type'
  | 'expired'
  | 'not_yet_valid'
  | 'lifetime_too_long'
  | 'wrong_audience'
  | 'claim_mismatch'
  | 'invalid_spiffe_id'
  | 'wrong_trust_domain'
  | 'replayed'
  /** A security event about its subject came after it was issued. */
  | 'revoked'
  /** A user's where a workload's is needed, or the other way round. */
  | 'wrong_role'
  /** `may_act` of the subject does not name this actor. */
  | 'may_not_act'
  /** More actors, or more generations of sessions, than are carried. */
  | 'chain_too_long'
  | 'own_token'
  | 'session_ended'
  /** It is bound to a key or certificate (`cnf`) that the request did not prove. */
  | 'unproven'
  /** No client certificate on the connection, or none whose key the platform saw proven. */
  | 'certificate_missing'
  | 'certificate_unproven'
  /** The path to a root of the method; `got` names the rule. */
  | 'certificate_refused'
  | 'verifier_error'
  /** Whoever has to vouch for it could not be asked: 503, and no fault of the caller. */
  | 'verifier_unavailable'

/** Why a DPoP proof was refused. */
export type ProofReason =
  | 'missing'
  | 'repeated'
  | 'malformed'
  | 'type'
  | 'algorithm'
  | 'header'
  | 'key'
  | 'bad_signature'
  | 'missing_claim'
  | 'method'
  | 'url'
  | 'not_yet_valid'
  | 'too_old'
  | 'token_hash'
  | 'nonce_required'
  | 'nonce_stale'
  | 'replayed'

export type GatewayDenial =
  | 'not_granted'
  | 'envelope_exceeded'
  | 'intent_denied'
  | 'tool_changed'
  | 'response_too_large'
  | 'response_unmaskable'
  | 'credential_reflected'

export type LimitName = 'actions' | 'writes' | 'rows' | 'bytes' | 'per_minute'

export type Failure =
  // Requests that cannot be understood. `reason` is a stable word; `parameter` names what to mend.
  | { kind: 'malformed_request'; reason: string; parameter?: string }
  | { kind: 'unsupported_grant_type' }
  | {
      kind: 'invalid_client'
      viaAuthorizationHeader: boolean
      reason?: AttestationReason
      method?: string
    }
  // Faults of a token or of its method: one answer for all of them.
  | {
      kind: 'attestation_rejected'
      role: 'subject' | 'actor'
      reason: AttestationReason
      method?: string
      claim?: string
      expected?: string
      got?: string
    }
  | {
      kind: 'invalid_target'
      reason:
        | 'malformed'
        | 'unknown_target'
        | 'no_binding'
        | 'denied_by_binding'
        | 'delivery'
        | 'not_delegated'
        /** More generations below the root than a binding that holds for it allows. */
        | 'too_deep'
        /** Not what the assertion was issued for. */
        | 'not_asserted'
      target?: string
    }
  | { kind: 'invalid_scope'; reason: 'syntax' | 'nothing_left'; target?: string }
  | { kind: 'invalid_authorization_details'; reason: string; path?: string }
  | { kind: 'access_denied'; reason: string; ruleId?: string }
  | { kind: 'authorization_pending'; approval: Approval }
  // `limit`: once in a while, which limit of whom, and how often since the last time.
  | {
      kind: 'slow_down'
      retryAfterSeconds: number
      limit?: { by: string; key: string; refused: number }
    }
  // Dependencies. Nothing was minted or forwarded.
  | {
      kind: 'unavailable'
      reason: string
      retryAfterSeconds: number
      method?: string
      got?: string
    }
  // By SALLYPORT_KILL, or by the kill switch in the store.
  | { kind: 'killed'; by: 'environment' | 'policy' }
  // A credential that cannot be made as it was asked for. `hint`: how to ask for less; shown to the caller.
  | { kind: 'mint_refused'; reason: string; hint?: string }
  // Gateway.
  | {
      kind: 'invalid_handle'
      reason:
        | 'missing'
        | 'malformed'
        | 'bad_signature'
        | 'expired'
        | 'wrong_audience'
        | 'session_ended'
        | 'unknown_session'
        /** Bound to a key and shown as a bearer token; or with a proof although it is bound to none. */
        | 'proof_required'
        | 'wrong_key'
        | 'wrong_certificate'
        | 'not_bound'
    }
  // A DPoP proof (RFC 9449 §4.3). The wire tells only whether a nonce is what is missing.
  | { kind: 'invalid_proof'; reason: ProofReason; at: 'token_endpoint' | 'resource' }
  | { kind: 'action_malformed'; reason: string }
  | { kind: 'action_denied'; code: GatewayDenial; reason: string; hint?: string; ruleId?: string }
  | { kind: 'approval_required'; approval: Approval; reason: string; ruleId?: string }
  | { kind: 'budget_exhausted'; limit: LimitName; retryAfterSeconds?: number }
  | { kind: 'payload_too_large'; maxBytes: number }
  | { kind: 'upstream_failed'; reason: string; timedOut: boolean }
  // Administration and everything else that is not OAuth.
  | { kind: 'unauthenticated' }
  // `identity`: who was authenticated and lacks the role, for the event.
  | { kind: 'forbidden'; needs: string; identity?: string }
  | { kind: 'not_found' }
  | { kind: 'method_not_allowed'; allow: readonly string[] }
  | { kind: 'unsupported_media_type'; expected: string }
  | { kind: 'invalid_document'; errors: readonly DocumentError[] }
  | { kind: 'precondition_failed' }
  // `names`: what stands in the way, e.g. the bindings that still refer to a target.
  | { kind: 'conflict'; reason: string; names?: readonly string[] }

export function storeDown(): Extract<Failure, { kind: 'unavailable' }> {
  return { kind: 'unavailable', reason: 'store', retryAfterSeconds: 2 }
}
