// A method of type aws-iam before an STS that is in memory, and an agent that signs with a library which
// shares nothing with the broker.
import { AwsV4Signer } from 'aws4fetch'
import { createHash } from 'node:crypto'
import { beforeEach, expect } from 'vitest'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import type { JsonObject, JsonValue } from '../../functions/core/identity.ts'
import { fail } from '../../functions/core/result.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { fakeKeySets } from '../fakes/key-sets.ts'
import { fakeSts, type FakeSts, type StsPrincipal } from '../fakes/sts.ts'
import { BROKER, NOW, outcome, OWN } from './setup.ts'

export const ACCOUNT = '123456789012'
export const ROLE: StsPrincipal = {
  accessKeyId: 'ASIAROLE00000000000A',
  secretAccessKey: 'role/secret+key',
  sessionToken: 'FwoGZXIvYXdzEBYaD+/session==token',
  account: ACCOUNT,
  arn: `arn:aws:sts::${ACCOUNT}:assumed-role/agent/i-0abc`,
  userId: 'AROAEXAMPLE000000000:i-0abc',
}
export const USER: StsPrincipal = {
  accessKeyId: 'AKIAUSER00000000000B',
  secretAccessKey: 'user-secret',
  account: ACCOUNT,
  arn: `arn:aws:iam::${ACCOUNT}:user/bots/ci`,
  userId: 'AIDAEXAMPLE000000000',
}
export const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/agent`
export const HOST = 'sts.eu-central-1.amazonaws.com'
export const ENDPOINT = `https://${HOST}/`
export const BODY = 'Action=GetCallerIdentity&Version=2011-06-15'
const CONFIG: JsonObject = { accounts: [ACCOUNT], regions: ['eu-central-1', 'us-east-1'] }

export let sts: FakeSts
export let now: number
beforeEach(() => {
  sts = fakeSts([ROLE, USER])
  now = NOW
})

export function typeOf(loopback = false) {
  const types = createAuthMethodTypes({
    keySets: fakeKeySets(),
    clock: { nowSeconds: () => now, nowMs: () => now * 1000 },
    hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
    reach: { privateNetwork: false, loopback },
    ownIssuers: OWN,
    issuer: BROKER,
    outbound: (request) => sts.outbound(request),
    secrets: async (reference) => fail({ reason: 'not_found', reference }),
    canTrustOwnCa: true,
  })
  const type = types.find((candidate) => candidate.type === 'aws-iam')
  if (type === undefined) throw new Error('aws-iam')
  return type
}

export function policy(config: JsonObject, name = 'aws') {
  const members = Object.entries({ ...CONFIG, ...config }).filter(([, value]) => value !== null)
  return {
    name,
    type: 'aws-iam',
    enabled: true,
    subject: 'workload',
    config: Object.fromEntries(members),
  } as const
}

export function mistakes(config: JsonObject, loopback = false): readonly string[] {
  return typeOf(loopback)
    .validate(policy(config))
    .map(({ path, code }) => `${path} ${code}`)
}

type Envelope = {
  method: string
  url: string
  headers: Record<string, JsonValue>
  body: string
}

export function dateOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

export type Signing = {
  readonly by?: StsPrincipal
  readonly url?: string
  readonly region?: string
  readonly service?: string
  readonly at?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly method?: string
  readonly allHeaders?: boolean
}

/** What an agent sends: signed by a client library that shares nothing with the broker. */
export async function signed(signing: Signing = {}): Promise<Envelope> {
  const { by = ROLE, url = ENDPOINT, region = 'eu-central-1', at = now } = signing
  const signer = new AwsV4Signer({
    method: signing.method ?? 'POST',
    url,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-sallyport-server-id': BROKER,
      ...signing.headers,
    },
    body: signing.body ?? BODY,
    accessKeyId: by.accessKeyId,
    secretAccessKey: by.secretAccessKey,
    ...(by.sessionToken === undefined ? {} : { sessionToken: by.sessionToken }),
    service: signing.service ?? 'sts',
    region,
    datetime: dateOf(at),
    allHeaders: signing.allHeaders ?? false,
  })
  const { headers } = await signer.sign()
  const lists = [...headers].map(([name, value]) => [name, [value]] as const)
  return {
    method: signing.method ?? 'POST',
    url,
    headers: Object.fromEntries(lists),
    body: signing.body ?? BODY,
  }
}

/** What EKS tooling makes. */
export async function presigned(
  signing: Signing & { readonly expires?: string } = {},
): Promise<string> {
  const { by = ROLE, url = ENDPOINT, region = 'eu-central-1', at = now } = signing
  const query = `Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=${signing.expires ?? '60'}`
  const signer = new AwsV4Signer({
    method: 'GET',
    url: `${url}?${query}`,
    headers: { 'x-k8s-aws-id': BROKER, ...signing.headers },
    accessKeyId: by.accessKeyId,
    secretAccessKey: by.secretAccessKey,
    ...(by.sessionToken === undefined ? {} : { sessionToken: by.sessionToken }),
    service: signing.service ?? 'sts',
    region,
    datetime: dateOf(at),
    signQuery: true,
  })
  return String((await signer.sign()).url)
}

export function token(envelope: unknown): string {
  const text = typeof envelope === 'string' ? envelope : JSON.stringify(envelope)
  return Buffer.from(text).toString('base64url')
}

export function verify(envelope: unknown, config: JsonObject = {}) {
  const method = typeOf().compile(policy(config))
  return method.verify({ tokenType: TOKEN_TYPES.awsSigV4, token: token(envelope) })
}

/** Refused for this reason, and nothing has left. */
export async function refusedLocally(envelope: unknown, config: JsonObject = {}): Promise<string> {
  const result = await verify(envelope, config)
  expect(sts.seen).toEqual([])
  return outcome(result)
}
