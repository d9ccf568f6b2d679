// Why a JWT method takes a token or refuses it, rule by rule; offline, for people. What it tells comes from
// the unverified token and proves nothing.
import { actorChain } from '../core/actor-chain.ts'
import type { AttestationFault, Explanation } from '../core/auth-method.ts'
import { claimAt } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Result } from '../core/result.ts'
import type { UntrustedJws } from '../crypto/jws.ts'
import type { AuthMethodDeps, JwtMember } from './jwt.ts'
import { HEADER_RULES } from './jwt-header.ts'
import {
  CLAIM_RULES,
  FORM_RULES,
  ISSUER_RULE,
  matchFault,
  type Site,
  singleUseOf,
} from './jwt-rules.ts'

/** The rules of verify() but the signature and the issuer's own word, each by itself. */
export function explainJwt(
  {
    tokenType,
    jws,
  }: { readonly tokenType: string; readonly jws: Result<UntrustedJws, AttestationFault> },
  member: JwtMember,
  deps: AuthMethodDeps,
): Explanation {
  if (!jws.ok) return { checks: [{ check: 'form', fault: jws.failure }], claims: null }
  const { header, payload } = jws.value
  const chain = actorChain(payload)
  if (!chain.ok) {
    return {
      checks: [{ check: 'actors', fault: { reason: 'malformed', claim: 'act' } }],
      claims: null,
    }
  }
  const { claims } = chain.value
  const site: Site = { claims, tokenType, member, deps }
  const headerChecks = HEADER_RULES.map(({ check, member: name, fault }) => ({
    check,
    fault: fault(header, member.header),
    ...(check === 'algorithm' ? { expected: member.header.algorithms } : {}),
    ...said(header, name),
  }))
  const rules = [...FORM_RULES, ...CLAIM_RULES.filter((rule) => rule !== ISSUER_RULE)]
  const claimChecks = rules.map(({ check, fault, expected, claim }) => {
    const found = fault(site)
    const wanted = expected?.(member) ?? null
    return {
      check,
      fault: found,
      ...(wanted === null ? {} : { expected: wanted }),
      ...said(claims, found?.claim ?? claim),
    }
  })
  const matches = member.config.match.map((rule) => ({
    check: `match ${rule[0]}`,
    fault: matchFault(claims, rule),
    expected: rule[1],
    ...said(claims, rule[0]),
  }))
  const singleUse = singleUseOf(claims, member, deps.hashing)
  const use = singleUse.ok ? [] : [{ check: 'one use', fault: singleUse.failure }]
  return {
    checks: [...headerChecks, ...claimChecks, ...matches, ...use],
    claims: member.withoutCallersOwn?.(claims) ?? claims,
  }
}

function said(members: JsonObject, name: string | undefined): { readonly got?: JsonValue } {
  const value = name === undefined ? undefined : claimAt(members, name)
  return value === undefined ? {} : { got: value }
}
