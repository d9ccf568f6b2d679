// TokenReview (authentication.k8s.io/v1, KEP-1205): the API server of the cluster itself says whether a
// service account token still holds, which the keys alone cannot: a deleted pod or service account is
// refused at once (K8-05, K8S-1). The broker asks with a token of its own, never with the pod's (K8-06).
import type { AttestationFault } from '../core/auth-method.ts'
import { claimAt } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { parseCertificate } from '../crypto/x509/certificate.ts'
import { decodePem } from '../crypto/x509/pem.ts'
import { askForJson } from '../net/json-call.ts'
import type { Reach } from '../net/outbound.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import type { AuthMethodDeps, ConfirmToken } from './jwt.ts'
import { urlMistake } from './jwt-config.ts'
import { secretReferenceMistake, secretValueFor } from './method-secret.ts'

const MEMBERS = ['url', 'ca', 'secret', 'private_network']
const REVIEW_PATH = '/apis/authentication.k8s.io/v1/tokenreviews'
const MAX_CA_CHARACTERS = 65_536

export type TokenReview = {
  readonly url: URL
  readonly ca: string | undefined
  readonly secret: string
  readonly reach: Reach
}

/** The member `token_review`, or null where there is none or it has mistakes. */
export function readTokenReview(reader: ConfigReader, deps: AuthMethodDeps): TokenReview | null {
  const member = reader.get('token_review')
  if (member === undefined) return null
  if (!isJsonObject(member)) {
    reader.note({ code: 'type', message: 'must be of type object' }, 'token_review')
    return null
  }
  const inner = new ConfigReader(member)
  inner.allowOnly(MEMBERS)
  const reach = { ...deps.reach, privateNetwork: inner.flag('private_network') }
  const base = inner.requiredText('url', (url) => urlMistake(url, { ...deps, reach }))
  const ca = inner.text('ca', (text) => caMistake(text, deps))
  const secret = inner.requiredText('secret', secretReferenceMistake)
  reader.adopt(inner, 'token_review')
  if (inner.errors.length > 0) return null
  return { url: new URL(base.replace(/\/$/, '') + REVIEW_PATH), ca, secret, reach }
}

function caMistake(text: string, { canTrustOwnCa }: AuthMethodDeps): Mistake | null {
  if (!canTrustOwnCa) {
    const message = 'cannot be had on this runtime; use a public certificate'
    return { code: 'not_supported', message }
  }
  const certificates = text.length <= MAX_CA_CHARACTERS ? (decodePem(text) ?? []) : []
  // An empty list would mean the public authorities.
  if (certificates.length > 0 && certificates.every((der) => parseCertificate(der).ok)) return null
  return { code: 'format', message: 'must be certificates in PEM' }
}

export function tokenReviewer(
  review: TokenReview,
  audiences: readonly string[],
  deps: AuthMethodDeps,
): ConfirmToken {
  return async (token, claims) => {
    const reviewer = await secretValueFor(review.secret, review.url.origin, deps)
    if (reviewer === null) return fail(unreachable('secret'))
    const answer = await askForJson(deps.outbound, {
      method: 'POST',
      url: review.url,
      headers: [
        ['authorization', `Bearer ${reviewer}`],
        ['content-type', 'application/json'],
      ],
      body: JSON.stringify({
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences },
      }),
      statuses: [200, 201],
      reach: review.reach,
      ...(review.ca === undefined ? {} : { ca: review.ca }),
    })
    // Whatever is wrong with the answer, nothing vouches for the token.
    if (!answer.ok) return fail(unreachable(answer.failure.rule))
    return readReview(answer.value, claims, audiences)
  }
}

function unreachable(rule: string): AttestationFault {
  return { reason: 'keys_unreachable', claim: 'token_review', got: rule }
}

/** Everything that is not exactly a yes for this very token and one of our audiences is a no. */
function readReview(
  answer: JsonObject,
  claims: JsonObject,
  audiences: readonly string[],
): Result<JsonObject, AttestationFault> {
  const { status, kind, apiVersion } = answer
  if (kind !== 'TokenReview' || apiVersion !== 'authentication.k8s.io/v1') {
    return fail(unreachable('not_a_review'))
  }
  if (!isJsonObject(status) || status['authenticated'] !== true || isText(status['error'])) {
    return fail({ reason: 'inactive', claim: 'token_review' })
  }
  // An API server that knows nothing of audiences leaves them out: the token may be for itself (K8-05).
  const agreed: unknown = status['audiences']
  if (!Array.isArray(agreed) || !agreed.some((audience) => audiences.includes(audience))) {
    return fail({ reason: 'wrong_audience', claim: 'token_review' })
  }
  return userFault(status['user'], claims) ?? ok({ token_review: 'authenticated' })
}

const EXTRA = 'authentication.kubernetes.io/'

/** The review and the token speak of one service account and of one pod, or there are two readings. */
function userFault(
  user: JsonValue | undefined,
  claims: JsonObject,
): Result<never, AttestationFault> | null {
  if (!isJsonObject(user)) return fail({ reason: 'missing_claim', claim: 'user' })
  const extra = user['extra']
  const pairs: readonly (readonly [string, JsonValue | undefined, JsonValue | undefined])[] = [
    ['username', user['username'], claims['sub']],
    ['uid', user['uid'], claimAt(claims, '/kubernetes.io/serviceaccount/uid')],
    ['pod-name', extraOf(extra, 'pod-name'), claimAt(claims, '/kubernetes.io/pod/name')],
    ['pod-uid', extraOf(extra, 'pod-uid'), claimAt(claims, '/kubernetes.io/pod/uid')],
  ]
  const [unequal] = pairs.filter(([, reviewed, claimed]) => reviewed !== claimed)
  return unequal === undefined
    ? null
    : fail({ reason: 'claim_mismatch', claim: `user.${unequal[0]}` })
}

/** `extra` maps names to lists; what is not a list of one counts as something else than any claim. */
function extraOf(extra: JsonValue | undefined, name: string): JsonValue | undefined {
  const values = isJsonObject(extra) ? extra[`${EXTRA}${name}`] : undefined
  if (values === undefined) return undefined
  return Array.isArray(values) && values.length === 1 ? (values as readonly JsonValue[])[0] : null
}

function isText(value: JsonValue | undefined): boolean {
  return typeof value === 'string' && value !== ''
}
