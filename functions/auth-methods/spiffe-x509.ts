// SPIFFE X509-SVIDs (X509-SVID §§2-6, SP-09): the path leads to the roots of the trust domain's own
// bundle and to nothing else (SP-06, CA-11). The subject is the SPIFFE ID, as it is of the same
// workload's JWT-SVID.
import type {
  AttestationFault,
  AuthMethodType,
  CompiledAuthMethod,
  UntrustedAttestation,
} from '../core/auth-method.ts'
import { claimMatches } from '../core/claim-match.ts'
import type { Identity, JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { type Certificate, fingerprint } from '../crypto/x509/certificate.ts'
import { mayHaveIssued, verifyChain } from '../crypto/x509/verify-chain.ts'
import { readBundleRoot, readBundleRoots, X509_SVID_USE } from '../net/bundle-roots.ts'
import type { FoundRoots } from '../net/key-sets.ts'
import {
  CERTIFICATE_TOKEN_TYPES,
  certificateClaims,
  certificateFault,
  certificateIdentity,
  type PresentedChain,
  presentedChain,
} from './client-certificate.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import type { AuthMethodDeps } from './jwt.ts'
import { type MatchRules, readMatch, readMaxStale } from './jwt-config.ts'
import {
  type ConfiguredBundle,
  readBundle,
  readSpiffeRules,
  SPIFFE_MEMBERS,
  spiffeIdFault,
  type SpiffeRules,
} from './spiffe-config.ts'

const TYPE = 'spiffe-x509'
const MEMBERS = [...SPIFFE_MEMBERS, 'max_stale_seconds', 'match']

type Rules = SpiffeRules & { readonly match: MatchRules }
type FindRoots = (chain: PresentedChain) => Promise<Result<FoundRoots, AttestationFault>>

export function spiffeX509(deps: AuthMethodDeps): AuthMethodType {
  return {
    type: TYPE,
    tokenTypes: CERTIFICATE_TOKEN_TYPES,
    validate: (method) => read(method, deps).reader.errors,
    compile(method): CompiledAuthMethod {
      const { reader, rules, bundle, maxStaleSeconds } = read(method, deps)
      if (reader.errors.length > 0 || bundle === null) {
        throw new Error(`auth method ${method.name} does not validate`)
      }
      const findRoots = rootsOf(bundle, maxStaleSeconds, deps)
      const listed =
        bundle.kind === 'inline' ? readBundleRoots(bundle.bundle).map(fingerprint) : null
      return {
        name: method.name,
        type: TYPE,
        selector: { by: 'trust_domain', trustDomain: rules.trustDomain },
        tokenTypes: CERTIFICATE_TOKEN_TYPES,
        // A root that was taken out of the policy ends what it opened (MTLS-2).
        accepts: (claims) =>
          (listed === null || listed.includes(String(claims['root']))) &&
          ruleFault(claims, rules) === null,
        verify: (attestation) => verify(attestation, { method, rules, findRoots, deps }),
      }
    },
  }
}

function read(method: AuthMethodPolicy, deps: AuthMethodDeps) {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const spiffe = readSpiffeRules(reader)
  const { trustDomain } = spiffe
  const bundle = readBundle(reader, { trustDomain, use: X509_SVID_USE, rules: deps })
  if (bundle?.kind === 'inline') noteBrokenRoots(reader, bundle.keys)
  const maxStaleSeconds = readMaxStale(reader)
  return { reader, rules: { ...spiffe, match: readMatch(reader) }, bundle, maxStaleSeconds }
}

/** A fetched bundle may hold what is not understood; one that is written down here is a mistake. */
function noteBrokenRoots(reader: ConfigReader, keys: readonly JsonValue[]): void {
  for (const [i, key] of keys.entries()) {
    if (!isJsonObject(key) || key['use'] !== X509_SVID_USE) continue
    if (readBundleRoot(key)?.isCa === true) continue
    const message = 'must hold a CA certificate as the first of `x5c`'
    reader.note({ code: 'value', message }, 'bundle', 'keys', i, 'x5c')
  }
}

function rootsOf(
  bundle: ConfiguredBundle,
  maxStaleSeconds: number,
  { keySets }: AuthMethodDeps,
): FindRoots {
  if (bundle.kind === 'inline') {
    const found = ok({ roots: readBundleRoots(bundle.bundle), ageSeconds: 0 })
    return async () => found
  }
  return async (chain) => {
    const mayHold = (roots: readonly Certificate[]) =>
      roots.some((root) => chain.some((certificate) => mayHaveIssued(root, certificate)))
    const found = await keySets.findRoots(bundle, { maxStaleSeconds, mayHold })
    if (found.ok) return found
    const { reason, rule } = found.failure
    return fail({ reason, ...(rule === undefined ? {} : { got: rule }) })
  }
}

async function verify(
  attestation: UntrustedAttestation,
  context: {
    readonly method: AuthMethodPolicy
    readonly rules: Rules
    readonly findRoots: FindRoots
    readonly deps: AuthMethodDeps
  },
): Promise<Result<Identity, AttestationFault>> {
  const { method, rules, findRoots, deps } = context
  const chain = presentedChain(attestation)
  if (!chain.ok) return chain
  const [{ names }] = chain.value
  const [sub = '', ...others] = names.uri
  if (others.length > 0) return fail({ reason: 'invalid_spiffe_id', got: 'several_uris' })
  // What is refused by its name costs no look-up; nothing is accepted before the path is.
  const named = spiffeIdFault({ sub }, rules)
  if (named !== null) return fail(named)
  const found = await findRoots(chain.value)
  if (!found.ok) return found
  const { roots, ageSeconds } = found.value
  const now = deps.clock.nowSeconds()
  const path = await verifyChain({ chain: chain.value, roots, now, purpose: 'svid' })
  if (!path.ok) return fail(certificateFault(path.failure))
  const { leaf, root, length, notAfter } = path.value
  const claims = certificateClaims(leaf, root, sub)
  const refused = ruleFault(claims, rules)
  if (refused !== null) return fail(refused)
  const evidence = { path_length: length, bundle_age_s: ageSeconds }
  return ok(certificateIdentity(method, claims, { expiresAt: notAfter, evidence }))
}

/** Every rule that does not depend on time: also what an open session is held to. */
function ruleFault(claims: JsonObject, rules: Rules): AttestationFault | null {
  const named = spiffeIdFault(claims, rules)
  if (named !== null) return named
  const unmatched = rules.match.find(([name, matcher]) => !claimMatches(claims, name, matcher))
  return unmatched === undefined ? null : { reason: 'claim_mismatch', claim: unmatched[0] }
}
