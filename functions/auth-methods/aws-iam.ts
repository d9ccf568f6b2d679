// AWS principals by a signed GetCallerIdentity request (AW-01 to AW-15). Everything that can be checked
// here is checked before STS is asked, and STS is asked with a request of the broker's own making. Each
// signature is good for one exchange. Where it is offered, aws-web-identity is the better choice: it
// needs no call, and its token names this broker as its audience.
import type {
  AttestationFault,
  AuthMethodType,
  CompiledAuthMethod,
  Explanation,
  UntrustedAttestation,
} from '../core/auth-method.ts'
import { claimMatches } from '../core/claim-match.ts'
import type { Identity, JsonObject } from '../core/identity.ts'
import type { AuthMethodPolicy } from '../core/policy.ts'
import { CLOCK_SKEW_SECONDS } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import type { Reach } from '../net/outbound.ts'
import { type AwsIamConfig, readAwsIam, type StsEndpoint } from './aws-iam-config.ts'
import {
  type AwsPrincipal,
  canonicalArn,
  parsePrincipalArn,
  principalFault,
} from './aws-principal.ts'
import { SERVER_ID_HEADER, type UntrustedSignedRequest } from './aws-sigv4-fields.ts'
import { rebuildRequest } from './aws-sigv4-rebuild.ts'
import { parseSignedRequest } from './aws-sigv4.ts'
import { askSts, type CallerIdentity, type CallerResult } from './aws-sts.ts'
import { type AuthMethodDeps, refusedByAuthority } from './jwt.ts'
import { originOf } from './origin-config.ts'

const TYPE = 'aws-iam'
const AWS_TOKEN_TYPES: readonly string[] = [TOKEN_TYPES.awsSigV4]

/** STS itself takes a signature for 15 minutes, whatever the signer asked for (AW-09). */
const STS_WINDOW_SECONDS = 900
const PAST_SECONDS = 300
const FUTURE_SECONDS = 60

type Ask = (request: UntrustedSignedRequest, endpoint: StsEndpoint) => Promise<CallerResult>

export function awsIam(deps: AuthMethodDeps): AuthMethodType {
  const ask = stsAsker(deps)
  return {
    type: TYPE,
    tokenTypes: AWS_TOKEN_TYPES,
    validate: (method) => readAwsIam(method, deps.reach).errors,
    compile(method) {
      const { errors, config } = readAwsIam(method, deps.reach)
      if (errors.length > 0) throw new Error(`auth method ${method.name} does not validate`)
      return compileMethod(method, config, { ...deps, ask })
    },
  }
}

/** One question for one request at one endpoint, however many methods look at it. */
function stsAsker(deps: AuthMethodDeps): Ask {
  const answers = new WeakMap<UntrustedSignedRequest, Map<string, Promise<CallerResult>>>()
  return (request, endpoint) => {
    const known = answers.get(request) ?? new Map<string, Promise<CallerResult>>()
    answers.set(request, known)
    // The host is a constant of the table and proves itself by TLS, so that a VPC's private endpoint,
    // which answers under the same name, may serve; loopback is for the development endpoint alone.
    const reach: Reach = {
      privateNetwork: !endpoint.isDevelopment,
      loopback: endpoint.isDevelopment,
    }
    const question = () => ({
      ...rebuildRequest(request, { endpoint: endpoint.origin, serverId: deps.issuer }),
      reach,
    })
    const answer = known.get(endpoint.origin) ?? askSts(question(), deps.outbound)
    known.set(endpoint.origin, answer)
    return answer
  }
}

// Keyed by the attestation object, which one request holds and then drops.
const parses = new WeakMap<UntrustedAttestation, ReturnType<typeof parseSignedRequest>>()

function parsed(attestation: UntrustedAttestation): ReturnType<typeof parseSignedRequest> {
  const request = parses.get(attestation) ?? parseSignedRequest(attestation.token)
  parses.set(attestation, request)
  return request
}

type MethodDeps = AuthMethodDeps & { readonly ask: Ask }

function compileMethod(
  method: AuthMethodPolicy,
  config: AwsIamConfig,
  deps: MethodDeps,
): CompiledAuthMethod {
  return {
    name: method.name,
    type: TYPE,
    selector: { by: 'token_type', tokenType: TOKEN_TYPES.awsSigV4 },
    tokenTypes: AWS_TOKEN_TYPES,
    asks: true,
    accepts: (claims) => ruleFault(claims, config) === null,
    explain: (attestation) => explain(attestation, config, deps),
    verify: (attestation) => verify(attestation, method, config, deps),
  }
}

async function verify(
  attestation: UntrustedAttestation,
  method: AuthMethodPolicy,
  config: AwsIamConfig,
  deps: MethodDeps,
): Promise<Result<Identity, AttestationFault>> {
  if (attestation.tokenType !== TOKEN_TYPES.awsSigV4) return fail({ reason: 'unsupported_type' })
  const request = parsed(attestation)
  if (!request.ok) return request
  const endpoint = endpointOf(request.value, config)
  if (!endpoint.ok) return endpoint
  // Nothing leaves before all of this holds.
  const early = serverIdFault(request.value, deps.issuer) ?? timeFault(request.value, deps)
  if (early !== null) return fail(early)

  const caller = await deps.ask(request.value, endpoint.value)
  if (!caller.ok) return refusedByAuthority(caller.failure)
  const claims = claimsOf(caller.value, request.value, endpoint.value)
  if (!claims.ok) return refusedByAuthority(claims.failure)
  const refused = ruleFault(claims.value.claims, config)
  if (refused !== null) return refusedByAuthority(refused)
  return ok(
    identityOf({ attestation, method, config, request: request.value, ...claims.value }, deps),
  )
}

/** What can be told before STS is asked; whose signature it is, only STS knows. */
function explain(
  attestation: UntrustedAttestation,
  config: AwsIamConfig,
  deps: AuthMethodDeps,
): Explanation {
  const request = parsed(attestation)
  if (!request.ok) return { checks: [{ check: 'form', fault: request.failure }], claims: null }
  const { origin, scopeRegion, serverId, signedAt } = request.value
  const endpoint = endpointOf(request.value, config)
  const where = config.endpoints.map((one) => `${one.origin} ${one.scope}`)
  return {
    checks: [
      { check: 'form', fault: null },
      {
        check: 'endpoint and region',
        fault: endpoint.ok ? null : endpoint.failure,
        expected: where,
        got: `${origin} ${scopeRegion}`,
      },
      {
        check: 'audience',
        fault: serverIdFault(request.value, deps.issuer),
        expected: deps.issuer,
        got: serverId,
      },
      { check: 'time', fault: timeFault(request.value, deps), got: signedAt },
    ],
    claims: null,
  }
}

/** The origin is one of the method's own, and the signature was made for its region (AW-02, AW-03). */
function endpointOf(
  { origin, scopeRegion }: UntrustedSignedRequest,
  { endpoints }: AwsIamConfig,
): Result<StsEndpoint, AttestationFault> {
  const here = endpoints.filter((endpoint) => endpoint.origin === origin)
  if (here.length === 0) return fail({ reason: 'claim_mismatch', claim: 'url' })
  const endpoint = here.find(({ scope }) => scope === scopeRegion)
  return endpoint === undefined ? fail({ reason: 'claim_mismatch', claim: 'region' }) : ok(endpoint)
}

/** The presigned form holds no value to compare: STS compares the signature with ours (AW-08). */
function serverIdFault(
  { form, serverId }: UntrustedSignedRequest,
  issuer: string,
): AttestationFault | null {
  if (form === 'presigned' || serverId === issuer) return null
  return { reason: 'wrong_audience', claim: SERVER_ID_HEADER, expected: issuer }
}

/** Our own window: STS has a longer one and does not heed X-Amz-Expires (AW-09). */
function timeFault(
  { signedAt, expiresSeconds }: UntrustedSignedRequest,
  { clock }: AuthMethodDeps,
): AttestationFault | null {
  const age = clock.nowSeconds() - signedAt
  if (age < -FUTURE_SECONDS) return { reason: 'not_yet_valid', claim: 'x-amz-date' }
  const wanted = expiresSeconds === null ? PAST_SECONDS : expiresSeconds + CLOCK_SKEW_SECONDS
  return age > Math.min(PAST_SECONDS, wanted) ? { reason: 'expired', claim: 'x-amz-date' } : null
}

type Verified = { readonly principal: AwsPrincipal; readonly claims: JsonObject }

/** The account, the ARN and the user id are three tellings of one thing and must agree (AW-12). */
function claimsOf(
  { account, arn, userId }: CallerIdentity,
  request: UntrustedSignedRequest,
  endpoint: StsEndpoint,
): Result<Verified, AttestationFault> {
  const principal = parsePrincipalArn(arn)
  // A role is only ever seen assumed, a user only ever as itself.
  if (principal === null || (principal.kind === 'role') !== (principal.session !== null)) {
    return fail({ reason: 'claim_mismatch', claim: 'arn' })
  }
  if (principal.account !== account) return fail({ reason: 'claim_mismatch', claim: 'account' })
  if (principal.partition !== endpoint.partition) {
    return fail({ reason: 'claim_mismatch', claim: 'partition' })
  }
  const [uniqueId = '', session = null, ...more] = userId.split(':')
  const prefix = principal.kind === 'role' ? 'AROA' : 'AIDA'
  if (more.length > 0 || session !== principal.session || !isUniqueId(uniqueId, prefix)) {
    return fail({ reason: 'claim_mismatch', claim: 'user_id' })
  }
  const { partition } = principal
  const claims: JsonObject = {
    account,
    arn,
    user_id: userId,
    unique_id: uniqueId,
    partition,
    region: request.scopeRegion,
    ...(session === null ? {} : { role: canonicalArn(principal), session_name: session }),
  }
  return ok({ principal, claims })
}

function isUniqueId(id: string, prefix: string): boolean {
  return id.startsWith(prefix) && /^[A-Z0-9]{16,128}$/.test(id)
}

/** Every rule of the method: also what an open session is held to. */
function ruleFault(claims: JsonObject, config: AwsIamConfig): AttestationFault | null {
  const principal = parsePrincipalArn(String(claims['arn']))
  if (principal === null) return { reason: 'claim_mismatch', claim: 'arn' }
  const { uniqueIds, sessionNames, match } = config
  const fault = principalFault(principal, config, { account: 'account', principal: 'arn' })
  if (fault !== null) return fault
  if (uniqueIds !== null && !uniqueIds.includes(String(claims['unique_id']))) {
    return { reason: 'claim_mismatch', claim: 'unique_id' }
  }
  if (sessionNames !== null && !sessionNames.includes(principal.session ?? '')) {
    return { reason: 'claim_mismatch', claim: 'session_name' }
  }
  if (!config.endpoints.some(({ scope }) => scope === claims['region'])) {
    return { reason: 'claim_mismatch', claim: 'region' }
  }
  const unmatched = match.find(([name, matcher]) => !claimMatches(claims, name, matcher))
  return unmatched === undefined ? null : { reason: 'claim_mismatch', claim: unmatched[0] }
}

function identityOf(
  {
    attestation,
    method,
    config,
    request,
    principal,
    claims,
  }: Verified & {
    readonly config: AwsIamConfig
    readonly attestation: UntrustedAttestation
    readonly method: AuthMethodPolicy
    readonly request: UntrustedSignedRequest
  },
  { hashing }: AuthMethodDeps,
): Identity {
  const origin = originOf(config.origin, claims)
  return {
    ...(origin === undefined ? {} : { origin }),
    method: method.name,
    methodType: TYPE,
    kind: method.subject,
    subject: canonicalArn(principal),
    claims,
    act: null,
    expiresAt: null,
    attestationHash: hashing.sha256Hex(attestation.token),
    // By the signature alone: another envelope around it, or another method, is the same use (AWS-2).
    singleUse: {
      key: hashing.sha256Hex(JSON.stringify([TYPE, request.signature])),
      expiresAt: request.signedAt + STS_WINDOW_SECONDS + CLOCK_SKEW_SECONDS,
    },
    evidence: {
      access_key_id: request.accessKeyId,
      signed_at: request.signedAt,
      sts: request.origin,
    },
  }
}
