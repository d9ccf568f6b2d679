// Client certificates of CAs that are listed here and nowhere else (CA-08, CA-09): the platform proves
// that the client holds the key, the path and the names are judged here. Where certificates are pinned,
// the whole certificate is compared, never a name in it (CVE-2024-2048).
import type {
  AttestationFault,
  AuthMethodType,
  CompiledAuthMethod,
  UntrustedAttestation,
} from '../core/auth-method.ts'
import { claimAt, claimMatches } from '../core/claim-match.ts'
import type { Identity, JsonObject } from '../core/identity.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { claimsToBeSpiffeId } from '../core/spiffe-id.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import { fingerprint } from '../crypto/x509/certificate.ts'
import { verifyChain, verifyPinned } from '../crypto/x509/verify-chain.ts'
import {
  CERTIFICATE_TOKEN_TYPES,
  certificateClaims,
  certificateFault,
  certificateIdentity,
  type PresentedChain,
  presentedChain,
} from './client-certificate.ts'
import type { AuthMethodDeps } from './jwt.ts'
import { type MtlsConfig, readMtls, SAN_RULES } from './mtls-config.ts'

const TYPE = 'mtls'

type Rules = MtlsConfig & { readonly caFingerprints: readonly string[] }

export function mtls(deps: AuthMethodDeps): AuthMethodType {
  return {
    type: TYPE,
    tokenTypes: CERTIFICATE_TOKEN_TYPES,
    validate: (method) => readMtls(method).reader.errors,
    compile(method): CompiledAuthMethod {
      const { reader, config } = readMtls(method)
      if (reader.errors.length > 0) throw new Error(`auth method ${method.name} does not validate`)
      const rules = { ...config, caFingerprints: config.cas.map(fingerprint) }
      return {
        name: method.name,
        type: TYPE,
        selector: { by: 'token_type', tokenType: TOKEN_TYPES.mtls },
        tokenTypes: CERTIFICATE_TOKEN_TYPES,
        accepts: (claims) => identify(claims, rules).ok,
        verify: (attestation) => verify(attestation, method, rules, deps),
      }
    },
  }
}

async function verify(
  attestation: UntrustedAttestation,
  method: AuthMethodPolicy,
  rules: Rules,
  deps: AuthMethodDeps,
): Promise<Result<Identity, AttestationFault>> {
  const chain = presentedChain(attestation)
  if (!chain.ok) return chain
  // A SPIFFE ID is vouched for by its trust domain and by nobody else (SPIFFE-2).
  if (chain.value[0].names.uri.some(claimsToBeSpiffeId)) {
    return fail({ reason: 'invalid_spiffe_id' })
  }
  const path = await pathOf(chain.value, rules, deps.clock.nowSeconds())
  if (!path.ok) return fail(certificateFault(path.failure))
  const { leaf, root, length, notAfter } = path.value
  const unnamed = certificateClaims(leaf, root, '')
  const subject = identify(unnamed, rules)
  if (!subject.ok) return subject
  const claims = { ...unnamed, sub: subject.value }
  return ok(
    certificateIdentity(method, claims, {
      expiresAt: notAfter,
      evidence: { path_length: length },
    }),
  )
}

function pathOf(chain: PresentedChain, { cas }: Rules, now: number) {
  return cas.length === 0
    ? verifyPinned(chain[0], now)
    : verifyChain({ chain, roots: cas, now, purpose: 'client' })
}

/**
 * The name of the caller, where every configured rule holds: the first SAN that matched (URI before DNS,
 * e-mail, IP address), else the subject, else the fingerprint. Which of them is fixed by the
 * configuration, so that no certificate can choose. Also what an open session is held to.
 */
function identify(claims: JsonObject, rules: Rules): Result<string, AttestationFault> {
  const { subject, root, fingerprint: digest } = claims
  const isRooted = rules.caFingerprints.length === 0 || rules.caFingerprints.includes(String(root))
  if (!isRooted) return fail({ reason: 'certificate_refused', got: 'unknown_issuer' })
  const names: string[] = []
  for (const [kind, patterns] of rules.sans) {
    const { matches } = SAN_RULES[kind]
    const presented = claimAt(claims, `/sans/${kind}`)
    const name = (Array.isArray(presented) ? (presented as readonly unknown[]) : []).find(
      (one): one is string =>
        typeof one === 'string' && patterns.some((pattern) => matches(pattern, one)),
    )
    if (name === undefined) return fail({ reason: 'claim_mismatch', claim: `sans/${kind}` })
    names.push(name)
  }
  for (const [claim, listed, value] of [
    ['subject', rules.subjects, subject],
    ['fingerprint', rules.fingerprints, digest],
  ] as const) {
    if (listed === null) continue
    if (typeof value !== 'string' || !listed.includes(value)) {
      return fail({ reason: 'claim_mismatch', claim })
    }
    names.push(value)
  }
  const unmatched = rules.match.find(([name, matcher]) => !claimMatches(claims, name, matcher))
  if (unmatched !== undefined) return fail({ reason: 'claim_mismatch', claim: unmatched[0] })
  return ok(names[0] ?? '')
}
