// Kubernetes service account tokens, bound and projected (KEP-1205), checked offline with the keys of the
// cluster's issuer, by its API server (token-review.ts), or by both. Offline, a deleted pod or service
// account is seen only when its token expires (K8S-1): pin `/kubernetes.io/serviceaccount/uid` in
// `match`, and keep tokens short.
import type { AttestationFault, AuthMethodType } from '../core/auth-method.ts'
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { ASYMMETRIC_ALGORITHMS } from '../crypto/jws.ts'
import type { KeySource } from '../net/key-sets.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import { type Authority, compileJwtMethod, JWT_TOKEN_TYPES, type JwtFamily } from './jwt.ts'
import { JWT_MEMBERS, readIssuer, readJwtConfig } from './jwt-config.ts'
import { isPlainJwtType } from './jwt-header.ts'
import { setsApart } from './shared-issuers.ts'
import { readOrigin } from './origin-config.ts'
import { readSecurityEvents } from './security-events.ts'
import { readTokenReview, type TokenReview, tokenReviewer } from './token-review.ts'

const MEMBERS = [
  ...JWT_MEMBERS,
  'issuer',
  'jwks_uri',
  'namespaces',
  'service_accounts',
  'token_review',
]

const MAX_NAMES = 256
/** Any one name. Parts of names are not matched: `team-*` would also take `team-evil`. */
const ANY = '*'

const MAX_LABEL_LENGTH = 63
const MAX_SUBDOMAIN_LENGTH = 253
const NAME_CHARACTERS = new Set('abcdefghijklmnopqrstuvwxyz0123456789-')

export function kubernetes(family: JwtFamily): AuthMethodType {
  return {
    type: 'kubernetes',
    tokenTypes: JWT_TOKEN_TYPES,
    validate: (method) => read(method, family).reader.errors,
    compile(method) {
      const { reader, config, issuer, keys, allowed, review, origin, securityEvents } = read(
        method,
        family,
      )
      if (reader.errors.length > 0) throw new Error(`auth method ${method.name} does not validate`)
      return compileJwtMethod(
        {
          method,
          selector: { by: 'issuer', issuer },
          config,
          header: { algorithms: config.algorithms, isAllowedType: isPlainJwtType },
          ...authority(keys, review, config.audiences, family),
          soleAudience: false,
          origin,
          securityEvents,
          claimsFault: (claims) => serviceAccountFault(claims, allowed),
        },
        family,
      )
    },
  }
}

/** The API server needs no help; keys are asked first where the config says where they are. */
function authority(
  keys: KeySource,
  review: TokenReview | null,
  audiences: readonly string[],
  family: JwtFamily,
): Authority {
  if (review === null) return { keys }
  const confirm = tokenReviewer(review, audiences, family)
  return { keys: keys.kind === 'jwks_uri' ? keys : null, confirm }
}

type Allowed = {
  readonly namespaces: readonly string[]
  readonly serviceAccounts: readonly string[]
}

function read(method: AuthMethodPolicy, family: JwtFamily) {
  const reader = new ConfigReader(method.config)
  reader.allowOnly(MEMBERS)
  const review = readTokenReview(reader, family)
  const config = readJwtConfig(reader, { algorithms: ASYMMETRIC_ALGORITHMS })
  const { issuer, keys } = readIssuer(reader, family)
  const allowed: Allowed = {
    namespaces: reader.texts('namespaces', { maxItems: MAX_NAMES, mistakeOf: namespaceMistake }),
    serviceAccounts: reader.texts('service_accounts', {
      maxItems: MAX_NAMES,
      mistakeOf: serviceAccountMistake,
    }),
  }
  noteUnsafe(reader, {
    audiences: config.audiences,
    issuer,
    allowed,
    pinned: setsApart(config.match),
  })
  const origin = readOrigin(reader)
  const securityEvents = readSecurityEvents(reader, family, { issuer, keys })
  return { reader, config, issuer, keys, allowed, review, origin, securityEvents }
}

function noteUnsafe(
  reader: ConfigReader,
  settings: {
    readonly audiences: readonly string[]
    readonly issuer: string
    readonly allowed: Allowed
    readonly pinned: boolean
  },
): void {
  // K8-04: with --api-audiences unset, the API server's own audience is its issuer.
  const own = settings.audiences.indexOf(settings.issuer)
  if (own !== -1) {
    const message = 'is the audience of the API server; the broker could act as the pod'
    reader.note({ code: 'unsafe', message }, 'audiences', own)
  }
  const { namespaces, serviceAccounts } = settings.allowed
  if (namespaces.includes(ANY) && serviceAccounts.includes(ANY) && !settings.pinned) {
    const message = 'with `*` for both, every service account of the cluster is let in'
    reader.note({ code: 'unsafe', message }, 'namespaces')
  }
}

function namespaceMistake(name: string): Mistake | null {
  if (name === ANY || isLabel(name)) return null
  return { code: 'format', message: 'must be the name of a namespace, or `*`' }
}

function serviceAccountMistake(name: string): Mistake | null {
  if (name === ANY || isSubdomain(name)) return null
  return { code: 'format', message: 'must be the name of a service account, or `*`' }
}

/** RFC 1123 label. */
function isLabel(name: string): boolean {
  return (
    name !== '' &&
    name.length <= MAX_LABEL_LENGTH &&
    [...name].every((character) => NAME_CHARACTERS.has(character)) &&
    !name.startsWith('-') &&
    !name.endsWith('-')
  )
}

/** RFC 1123 subdomain: whole length bounded, each part like a label. */
function isSubdomain(name: string): boolean {
  return name.length <= MAX_SUBDOMAIN_LENGTH && name.split('.').every(isLabel)
}

/**
 * `sub` names the service account, the nested `kubernetes.io` object says the same again, and both must
 * agree (K8-02). Legacy secret-based tokens have neither the object nor an `exp`.
 */
function serviceAccountFault(claims: JsonObject, allowed: Allowed): AttestationFault | null {
  const [system, kind, namespace, name, ...more] = String(claims['sub']).split(':')
  if (
    system !== 'system' ||
    kind !== 'serviceaccount' ||
    namespace === undefined ||
    name === undefined ||
    more.length > 0
  ) {
    return { reason: 'claim_mismatch', claim: 'sub' }
  }
  return (
    nestedFault(claims, namespace, name) ??
    listFault('namespaces', allowed.namespaces, namespace) ??
    listFault('service_accounts', allowed.serviceAccounts, name)
  )
}

function nestedFault(claims: JsonObject, namespace: string, name: string): AttestationFault | null {
  if (Object.hasOwn(claims, 'kubernetes.io/serviceaccount/namespace')) {
    return { reason: 'type_not_allowed', claim: 'kubernetes.io/serviceaccount/namespace' }
  }
  const nested = objectAt(claims, 'kubernetes.io')
  const account = objectAt(nested, 'serviceaccount')
  for (const [claim, value, expected] of [
    ['/kubernetes.io/namespace', nested['namespace'], namespace],
    ['/kubernetes.io/serviceaccount/name', account['name'], name],
  ] as const) {
    if (value === undefined) return { reason: 'missing_claim', claim }
    if (value !== expected) return { reason: 'claim_mismatch', claim, expected }
  }
  return typeof account['uid'] === 'string'
    ? null
    : { reason: 'missing_claim', claim: '/kubernetes.io/serviceaccount/uid' }
}

const NOTHING: JsonObject = {}

function objectAt(parent: JsonObject, member: string): JsonObject {
  const value = parent[member]
  return isJsonObject(value) ? value : NOTHING
}

function listFault(
  member: string,
  allowed: readonly string[],
  name: string,
): AttestationFault | null {
  return allowed.some((entry) => entry === ANY || entry === name)
    ? null
    : { reason: 'claim_mismatch', claim: 'sub', expected: member, got: name }
}
