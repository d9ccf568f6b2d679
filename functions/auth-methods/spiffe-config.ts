// The members of `config` that both SPIFFE methods have: the trust domain, path patterns, and where its
// bundle comes from. Keys and roots are those of that one bundle; no two are ever merged (SP-06).
import type { AttestationFault } from '../core/auth-method.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import {
  isTrustDomain,
  parseSpiffeId,
  spiffePathMatches,
  spiffePatternMistake,
} from '../core/spiffe-id.ts'
import type { BundleEndpoint } from '../net/bundle-endpoint.ts'
import { readBundleRoot, X509_SVID_USE } from '../net/bundle-roots.ts'
import type { BundleSource } from '../net/key-sets.ts'
import type { ConfigReader, Mistake } from '../policy/config-reader.ts'
import { type IssuerRules, urlMistake } from './jwt-config.ts'

export const SPIFFE_MEMBERS = [
  'trust_domain',
  'spiffe_ids',
  'bundle_endpoint_url',
  'bundle_profile',
  'endpoint_spiffe_id',
  'bundle',
] as const

const MAX_PATTERNS = 256

export type SpiffeRules = { readonly trustDomain: string; readonly patterns: readonly string[] }

/** Either an endpoint with its profile or the bundle itself; null where there is a mistake. */
export type ConfiguredBundle =
  | BundleSource
  | { readonly kind: 'inline'; readonly bundle: JsonObject; readonly keys: readonly JsonValue[] }

export function readSpiffeRules(reader: ConfigReader): SpiffeRules {
  const trustDomain = reader.requiredText('trust_domain', (name) =>
    isTrustDomain(name)
      ? null
      : { code: 'format', message: 'must be a trust domain: lower case, no scheme, port or path' },
  )
  const patterns = reader.texts('spiffe_ids', {
    maxItems: MAX_PATTERNS,
    mistakeOf: spiffePatternMistake,
  })
  return { trustDomain, patterns }
}

/** `use`: of the entries that the method needs at least one of. */
export function readBundle(
  reader: ConfigReader,
  context: {
    readonly trustDomain: string
    readonly use: string
    readonly rules: IssuerRules & { readonly canTrustOwnCa: boolean }
  },
): ConfiguredBundle | null {
  const { trustDomain, rules } = context
  const bundle = reader.get('bundle')
  const url = reader.text('bundle_endpoint_url', (text) => urlMistake(text, rules))
  const profile = reader.text('bundle_profile', (text) => profileMistake(text, rules))
  if (profile === 'https_spiffe') {
    const endpoint = readEndpoint(reader, trustDomain)
    return url === undefined || endpoint === null
      ? required(reader, 'bundle_endpoint_url')
      : { kind: 'spiffe_bundle', trustDomain, url, endpoint }
  }
  if (reader.get('endpoint_spiffe_id') !== undefined) {
    reader.note({ code: 'value', message: 'goes with https_spiffe' }, 'endpoint_spiffe_id')
  }
  if (bundle !== undefined && (url !== undefined || profile !== undefined)) {
    reader.note({ code: 'value', message: 'excludes `bundle_endpoint_url`' }, 'bundle')
    return null
  }
  if (bundle !== undefined) return inlineBundle(reader, bundle, context.use)
  required(reader, 'bundle_endpoint_url')
  required(reader, 'bundle_profile')
  return url === undefined ? null : { kind: 'spiffe_bundle', trustDomain, url }
}

function required(reader: ConfigReader, member: string): null {
  const mistake = { code: 'required', message: 'is required, or `bundle` alone' }
  if (reader.get(member) === undefined) reader.note(mistake, member)
  return null
}

function profileMistake(
  profile: string,
  { canTrustOwnCa }: { readonly canTrustOwnCa: boolean },
): Mistake | null {
  if (profile === 'https_web') return null
  if (profile !== 'https_spiffe') {
    return { code: 'value', message: 'must be https_web or https_spiffe' }
  }
  if (canTrustOwnCa) return null
  const message = '`https_spiffe` cannot be had on this runtime, which shows no server certificate'
  return { code: 'not_supported', message }
}

/** Who serves the bundle, and the roots to know it by until there is one (Federation §5.2.2). */
function readEndpoint(reader: ConfigReader, trustDomain: string): BundleEndpoint | null {
  const spiffeId = reader.requiredText('endpoint_spiffe_id', (text) => {
    const id = parseSpiffeId(text)
    if (id.ok && id.value.trustDomain === trustDomain && id.value.path !== '') return null
    return { code: 'format', message: `must be the SPIFFE ID of a workload of ${trustDomain}` }
  })
  const bundle = reader.get('bundle')
  if (bundle === undefined) {
    const message = 'is required: it holds the roots that the endpoint is known by at first'
    reader.note({ code: 'required', message }, 'bundle')
    return null
  }
  const configured = inlineBundle(reader, bundle, X509_SVID_USE)
  if (configured?.kind !== 'inline') return null
  const entries = configured.keys.filter(isJsonObject)
  const roots = entries.filter((entry) => readBundleRoot(entry)?.isCa === true).map(firstOfChain)
  if (roots.length > 0) return { spiffeId, roots }
  reader.note({ code: 'value', message: 'holds no CA certificate' }, 'bundle', 'keys')
  return null
}

function firstOfChain({ x5c }: JsonObject): string {
  return Array.isArray(x5c) ? String(x5c[0]) : ''
}

function inlineBundle(
  reader: ConfigReader,
  bundle: JsonValue,
  use: string,
): ConfiguredBundle | null {
  const keys = isJsonObject(bundle) ? bundle['keys'] : undefined
  if (!isJsonObject(bundle) || !Array.isArray(keys)) {
    reader.note({ code: 'type', message: 'must be a JWK Set' }, 'bundle')
    return null
  }
  // An empty bundle makes every SVID invalid (Bundle §4), which nobody configures on purpose.
  if (!keys.some((key: JsonValue) => isJsonObject(key) && key['use'] === use)) {
    reader.note({ code: 'value', message: `holds no key for ${use}` }, 'bundle', 'keys')
  }
  for (const [i, key] of keys.entries()) {
    if (isJsonObject(key) && key['d'] === undefined && key['k'] === undefined) continue
    reader.note({ code: 'unsafe', message: 'must be a public key' }, 'bundle', 'keys', i)
  }
  return { kind: 'inline', bundle, keys }
}

/** Syntax first, then the trust domain, then whole segments of the path (SP-02, SP-03). */
export function spiffeIdFault(
  claims: JsonObject,
  { trustDomain, patterns }: SpiffeRules,
): AttestationFault | null {
  const id = parseSpiffeId(String(claims['sub']))
  if (!id.ok) return { reason: 'invalid_spiffe_id', claim: 'sub', got: id.failure }
  if (id.value.trustDomain !== trustDomain) {
    return { reason: 'wrong_trust_domain', claim: 'sub', expected: trustDomain }
  }
  const { path } = id.value
  return patterns.some((pattern) => spiffePathMatches(pattern, path))
    ? null
    : { reason: 'claim_mismatch', claim: 'sub', got: path }
}
