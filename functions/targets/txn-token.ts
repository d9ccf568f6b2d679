// The target type `txn-token`: a transaction token (draft-ietf-oauth-transaction-tokens), which tells every
// service of a trust domain for whom, by which workload and for what one call chain runs. What is verified
// stands in `tctx` and `rctx`; what the agent only said stands under `declared`, and there alone.
import type { JsonObject } from '../core/identity.ts'
import { intentOf } from '../core/lineage.ts'
import type { MintFacts } from '../core/minting.ts'
import { fail, ok } from '../core/result.ts'
import type { TargetType } from '../core/target.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import {
  createIssuedTokenTarget,
  type IssuedTokenDeps,
  type IssuedTokenKind,
} from './issued-token.ts'

const TRUST_DOMAIN = /^[\x21\x23-\x5B\x5D-\x7E]{1,255}$/

const KIND: IssuedTokenKind<null> = {
  type: 'txn-token',
  action: 'txn_token.issue',
  tokenType: TOKEN_TYPES.txnToken,
  typ: 'txntoken+jwt',
  defaultSeconds: 60,
  isExact: true,
  members: [],
  audienceMistake: (name) =>
    TRUST_DOMAIN.test(name) ? null : { code: 'format', message: 'must be a name without spaces' },
  read: () => null,
  knownAs: () => [],
  claims(facts, _, { hashing }) {
    // The purpose of the transaction; the profile requires it.
    if (facts.scope === null) {
      return fail({ kind: 'malformed_request', reason: 'missing', parameter: 'scope' })
    }
    const { sessionId, identity, authMethod, onBehalfOf, lineage, attestedOrigin } = facts
    return ok({
      txn: sessionId,
      sub: onBehalfOf?.identity ?? identity,
      req_wl: identity,
      tctx: {
        session: sessionId,
        ...(attestedOrigin === null ? {} : { origin: attestedOrigin }),
        ...declared(facts, hashing.sha256Hex),
      },
      rctx: {
        auth_method: authMethod,
        ...(onBehalfOf === null ? {} : { relation: onBehalfOf.relation }),
        ...(lineage === null ? {} : { agents: lineage.actors.map((actor) => actor.identity) }),
      },
    })
  },
}

export function createTxnTokenTarget(deps: IssuedTokenDeps): TargetType {
  return createIssuedTokenTarget(KIND, deps)
}

/** By hash: every service logs what it is shown, and the audit log has the words. */
function declared(facts: MintFacts, sha256Hex: (text: string) => string): JsonObject {
  const intent = intentOf(facts)
  if (intent === null) return {}
  const { purpose, origin } = intent
  return {
    declared: {
      purpose_sha256: sha256Hex(purpose),
      ...(origin === undefined ? {} : { origin_kind: origin.kind }),
    },
  }
}
