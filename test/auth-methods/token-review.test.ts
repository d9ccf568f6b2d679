// The kubernetes method in TokenReview mode, against an API server on the loopback.
import { createServer as createTlsServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Secret } from '../../functions/core/credential.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { createFetchOutbound } from '../../functions/net/fetch-outbound.ts'
import { opensslLab } from '../fakes/openssl.ts'
import { startOrigin, type Origin } from '../fakes/origin.ts'
import { tokenIssuer, type TokenIssuer } from '../fakes/token-issuer.ts'
import { authorityWorld, type AuthorityWorld } from './authority.ts'
import { claimsOf, ISSUER, memberOf, NOW, outcome } from './setup.ts'

const member = memberOf('kubernetes')
const REVIEWER = 'reviewer-token-of-the-broker'
const SECRET = 'sealed:reviewer'
const PATH = '/apis/authentication.k8s.io/v1/tokenreviews'

type Seen = { url: string; method: string; authorization: string; body: JsonObject }

/** What a cluster says of the member's token. */
const YES: JsonObject = {
  authenticated: true,
  audiences: ['me'],
  user: {
    username: 'system:serviceaccount:analytics:etl',
    uid: 'sa-uid',
    groups: ['system:serviceaccounts'],
    extra: {
      'authentication.kubernetes.io/pod-name': ['etl-0'],
      'authentication.kubernetes.io/pod-uid': ['pod-uid'],
      'authentication.kubernetes.io/node-name': ['node-1'],
    },
  },
}
const YES_USER = YES['user'] as JsonObject

let issuer: TokenIssuer
beforeAll(async () => {
  issuer = await tokenIssuer('RS256', 'key-1')
})

const open: (Origin | Server)[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

type Answer = { status?: number; headers?: Record<string, string>; body?: string }

/** An API server that gives this status, or this answer, and keeps what it was asked. */
async function apiServer(answer: { review?: JsonObject } & Answer = {}) {
  const seen: Seen[] = []
  const origin = await startOrigin((request, response) => {
    let text = ''
    request.on('data', (part: Buffer) => (text += part.toString()))
    request.on('end', () => {
      const { url = '', method = '', headers } = request
      const authorization = headers.authorization ?? ''
      seen.push({ url, method, authorization, body: JSON.parse(text) as JsonObject })
      response.writeHead(answer.status ?? 201, answer.headers)
      const apiVersion = 'authentication.k8s.io/v1'
      const review = { apiVersion, kind: 'TokenReview', status: answer.review ?? YES }
      response.end(answer.body ?? JSON.stringify(review))
    })
  })
  open.push(origin)
  return { origin, seen }
}

function world(url: string): { world: AuthorityWorld; config: JsonObject } {
  const made = authorityWorld()
  made.secrets.set(SECRET, new Secret(REVIEWER, [new URL(url).origin]))
  return { world: made, config: { ...member.config, token_review: { url, secret: SECRET } } }
}

async function verify(
  { world: in_, config }: { world: AuthorityWorld; config: JsonObject },
  change: JsonObject = {},
  header: JsonObject = { alg: 'RS256', kid: 'key-1' },
) {
  const token = await issuer.sign(claimsOf(member, change), header)
  return in_.compiled('kubernetes', config).verify({ tokenType: TOKEN_TYPES.jwt, token })
}

describe('what is asked', () => {
  it('K8-05 K8-06 the API server, with the reviewer of the broker, for our audiences', async () => {
    const { origin, seen } = await apiServer()
    const setting = world(`${origin.url}/k8s/cluster-1`)
    const token = await issuer.sign(claimsOf(member), { alg: 'RS256', kid: 'key-1' })
    const method = setting.world.compiled('kubernetes', setting.config)
    const result = await method.verify({ tokenType: TOKEN_TYPES.jwt, token })
    expect(outcome(result)).toBe('accepted')
    expect(seen).toEqual([
      {
        url: `/k8s/cluster-1${PATH}`,
        method: 'POST',
        authorization: `Bearer ${REVIEWER}`,
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token, audiences: ['me'] },
        },
      },
    ])
    expect(result.ok && result.value.evidence).toEqual({ token_review: 'authenticated' })
    expect(result.ok && result.value.subject).toBe('system:serviceaccount:analytics:etl')
  })

  const refusedHere: readonly (readonly [string, JsonObject, JsonObject, string])[] = [
    ['another issuer', { iss: 'https://other.example' }, {}, 'unknown_issuer'],
    ['an expired token', { exp: NOW - 3600, iat: NOW - 7200, nbf: null }, {}, 'expired'],
    ['another audience', { aud: ['other'] }, {}, 'wrong_audience'],
    ['another namespace', { sub: 'system:serviceaccount:kube-system:etl' }, {}, 'claim_mismatch'],
    ['an unsigned token', {}, { alg: 'none' }, 'algorithm_not_allowed'],
    ['a symmetric token', {}, { alg: 'HS256' }, 'algorithm_not_allowed'],
    ['a token without its nested claims', { 'kubernetes.io': null }, {}, 'missing_claim'],
  ]
  it.each(refusedHere)(
    'K8-05 nothing, for %s',
    async (_name, change, header: JsonObject, expected) => {
      const { origin, seen } = await apiServer()
      const setting = world(origin.url)
      const head = { alg: 'RS256', kid: 'key-1', ...header }
      expect(outcome(await verify(setting, change, head))).toBe(expected)
      expect(seen).toEqual([])
    },
  )

  it('K8-05 nothing, for a forged token where the keys are configured as well', async () => {
    const { origin, seen } = await apiServer()
    const setting = world(origin.url)
    const config = { ...setting.config, jwks_uri: `${ISSUER}/keys` }
    const forger = await tokenIssuer('RS256', 'key-1')
    const { published } = setting.world.deps.keySets as unknown as {
      published: Map<string, readonly JsonObject[]>
    }
    published.set(ISSUER, [forger.publicJwk])
    expect(outcome(await verify({ ...setting, config }))).toBe('bad_signature')
    expect(seen).toEqual([])
    published.set(ISSUER, [issuer.publicJwk])
    const both = await verify({ ...setting, config })
    expect(both.ok && both.value.evidence).toMatchObject({
      kid: 'key-1',
      token_review: 'authenticated',
    })
    expect(seen).toHaveLength(1)
  })

  it('K8-06 SEC the reviewer goes to no origin but its own, and without it nobody is asked', async () => {
    const { origin, seen } = await apiServer()
    const setting = world(origin.url)
    setting.world.secrets.set(SECRET, new Secret(REVIEWER, ['https://elsewhere.example']))
    expect(outcome(await verify(setting))).toBe('keys_unreachable')
    setting.world.secrets.clear()
    expect(outcome(await verify(setting))).toBe('keys_unreachable')
    // A line break at the end is what files have: it is told from an API server that is down.
    setting.world.secrets.set(SECRET, new Secret(`${REVIEWER}\n`, null))
    expect(await verify(setting)).toMatchObject({
      failure: { reason: 'keys_unreachable', got: 'secret' },
    })
    expect(seen).toEqual([])
  })

  it('accepts() asks nobody', async () => {
    const { origin, seen } = await apiServer()
    const setting = world(origin.url)
    const method = setting.world.compiled('kubernetes', setting.config)
    expect(method.accepts(claimsOf(member))).toBe(true)
    expect(seen).toEqual([])
  })
})

describe('what is answered', () => {
  const extra = (change: JsonObject): JsonObject => ({
    ...YES,
    user: { ...YES_USER, extra: { ...(YES_USER['extra'] as JsonObject), ...change } },
  })
  const POD = 'authentication.kubernetes.io/pod'
  const reviews: readonly (readonly [string, JsonObject, string])[] = [
    ['K8S-1 a deleted pod or account', { authenticated: false, error: 'gone' }, 'inactive'],
    ['no status', {}, 'inactive'],
    ['yes as a text', { ...YES, authenticated: 'true' }, 'inactive'],
    ['yes as a number', { ...YES, authenticated: 1 }, 'inactive'],
    ['yes, with an error', { ...YES, error: 'webhook failed' }, 'inactive'],
    ['yes, for no audience', { ...YES, audiences: [] }, 'wrong_audience'],
    ['yes, without a word of audiences', { authenticated: true, user: YES_USER }, 'wrong_audience'],
    ['yes, for another audience', { ...YES, audiences: ['kubernetes'] }, 'wrong_audience'],
    ['yes, for a text of audiences', { ...YES, audiences: 'me' }, 'wrong_audience'],
    ['nobody', { authenticated: true, audiences: ['me'] }, 'missing_claim'],
    ['another account', { ...YES, user: { ...YES_USER, username: 'admin' } }, 'claim_mismatch'],
    ['K8-03 a recreated account', { ...YES, user: { ...YES_USER, uid: 'x' } }, 'claim_mismatch'],
    ['an account without uid', { ...YES, user: { ...YES_USER, uid: null } }, 'claim_mismatch'],
    ['K8-03 another pod', extra({ [`${POD}-uid`]: ['x'] }), 'claim_mismatch'],
    ['another pod name', extra({ [`${POD}-name`]: ['x'] }), 'claim_mismatch'],
    ['two pods', extra({ [`${POD}-uid`]: ['pod-uid', 'x'] }), 'claim_mismatch'],
    ['a pod that is a text', extra({ [`${POD}-uid`]: 'pod-uid' }), 'claim_mismatch'],
    ['no pod', { ...YES, user: { ...YES_USER, extra: {} } }, 'claim_mismatch'],
  ]
  it.each(reviews)('K8-05 %s is a refusal', async (_name, review, expected) => {
    const { origin } = await apiServer({ review })
    expect(outcome(await verify(world(origin.url)))).toBe(expected)
  })

  it('K8-05 a pod nobody claims, and a token without a pod that the cluster knows', async () => {
    const podless = {
      'kubernetes.io': { namespace: 'analytics', serviceaccount: { name: 'etl', uid: 'sa-uid' } },
    }
    const { origin } = await apiServer()
    expect(outcome(await verify(world(origin.url), podless))).toBe('claim_mismatch')
    const plain = await apiServer({ review: { ...YES, user: { ...YES_USER, extra: {} } } })
    expect(outcome(await verify(world(plain.origin.url), podless))).toBe('accepted')
  })

  const faults: readonly (readonly [string, Answer])[] = [
    ['is down', { status: 500 }],
    ['is overloaded', { status: 429 }],
    ['does not know the reviewer', { status: 401 }],
    ['forbids the reviewer', { status: 403 }],
    ['redirects', { status: 307, headers: { location: 'https://elsewhere.example/' } }],
    ['talks HTML', { body: '<html>' }],
    ['talks at length', { body: `"${'x'.repeat(70_000)}"` }],
    ['answers another kind', { body: JSON.stringify({ kind: 'Status', status: YES }) }],
    ['says status twice', { body: '{"kind":"TokenReview","kind":"TokenReview"}' }],
    ['compresses', { headers: { 'content-encoding': 'gzip' }, body: 'x' }],
  ]
  it.each(faults)('K8-05 DEP an API server that %s vouches for nobody', async (_name, answer) => {
    const { origin, seen } = await apiServer(answer)
    expect(outcome(await verify(world(origin.url)))).toBe('keys_unreachable')
    expect(seen).toHaveLength(1)
  })

  it('K8-05 DEP an API server that is not there vouches for nobody', async () => {
    const { origin } = await apiServer()
    const setting = world(origin.url)
    await origin.close()
    expect(outcome(await verify(setting))).toBe('keys_unreachable')
  })
})

describe('its own certificate authority', () => {
  const lab = opensslLab()
  const root = lab.make({ name: 'cluster-ca' })
  const other = lab.make({ name: 'other-ca' })
  const leaf = lab.make({
    name: 'apiserver',
    issuer: root,
    extensions: ['keyUsage=critical,digitalSignature', 'subjectAltName=IP:127.0.0.1'],
  })
  lab.close()

  async function tlsServer(): Promise<string> {
    const server = createTlsServer({ key: leaf.keyPem, cert: leaf.pem }, (request, response) => {
      request.resume()
      const apiVersion = 'authentication.k8s.io/v1'
      response.end(JSON.stringify({ apiVersion, kind: 'TokenReview', status: YES }))
    })
    open.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    // A TCP server that listens has an address with a port.
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  const withCa = (setting: { world: AuthorityWorld; config: JsonObject }, ca: string | null) => {
    const review = setting.config['token_review'] as JsonObject
    return {
      ...setting,
      config: { ...setting.config, token_review: ca === null ? review : { ...review, ca } },
    }
  }

  it('K8-05 is the only one that vouches for the API server', async () => {
    const setting = world(await tlsServer())
    expect(outcome(await verify(withCa(setting, root.pem)))).toBe('accepted')
    expect(outcome(await verify(withCa(setting, other.pem)))).toBe('keys_unreachable')
    expect(outcome(await verify(withCa(setting, null)))).toBe('keys_unreachable')
    expect(outcome(await verify(withCa(setting, root.pem + other.pem)))).toBe('accepted')
  })

  it('K8-05 cannot be saved, and is refused, where the runtime cannot hold a call to it', async () => {
    const setting = world('https://k8s.example')
    const there = authorityWorld({ canTrustOwnCa: false })
    expect(there.mistakes('kubernetes', withCa(setting, root.pem).config)).toEqual([
      '/config/token_review/ca not_supported',
    ])
    const fetched = createFetchOutbound(() => Promise.reject(new Error('never sent')))
    const call = fetched({
      method: 'GET',
      url: new URL('https://k8s.example'),
      headers: [],
      body: null,
      timeoutMs: 1000,
      reach: { privateNetwork: false, loopback: false },
      ca: root.pem,
    })
    await expect(call).rejects.toMatchObject({ reason: 'protocol_error' })
  })

  it.each(['', 'x', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', leaf.keyPem])(
    'K8-05 %# is none',
    (ca) => {
      const setting = withCa(world('https://k8s.example'), ca)
      expect(setting.world.mistakes('kubernetes', setting.config)).toEqual([
        '/config/token_review/ca format',
      ])
    },
  )
})

describe('configuration of token_review', () => {
  const mistakes = (token_review: JsonObject[string], changes = {}) =>
    authorityWorld(changes).mistakes('kubernetes', { ...member.config, token_review })
  const publicOnly = { reach: { privateNetwork: false, loopback: false } }
  const secret = SECRET

  it('K8-05 needs a URL and a reviewer, and knows its members', () => {
    expect(mistakes({ url: 'https://k8s.example', secret })).toEqual([])
    expect(mistakes({})).toEqual([
      '/config/token_review/url required',
      '/config/token_review/secret required',
    ])
    expect(mistakes({ url: 'https://k8s.example', secret, token: 'x' })).toEqual([
      '/config/token_review/token unknown_member',
    ])
    expect(mistakes({ url: 'https://k8s.example', secret: 'the-token-itself' })).toEqual([
      '/config/token_review/secret format',
    ])
    expect(mistakes('https://k8s.example')).toEqual(['/config/token_review type'])
  })

  it.each([
    'http://k8s.example',
    'https://user@k8s.example',
    'https://k8s.example?x',
    'https://169.254.169.254',
    'https://127.0.0.1:6443',
    'https://broker.example/t/crm',
  ])('SSRF-1 JW-02 is not %s, private network or not', (url) => {
    expect(mistakes({ url, secret }, publicOnly)).toEqual(['/config/token_review/url unsafe'])
    expect(mistakes({ url, secret, private_network: true }, publicOnly)).toEqual([
      '/config/token_review/url unsafe',
    ])
  })

  it('SSRF-1 is a private address only where private_network says so, for that call alone', async () => {
    const url = 'https://10.0.0.1:6443'
    expect(mistakes({ url, secret }, publicOnly)).toEqual(['/config/token_review/url unsafe'])
    expect(mistakes({ url, secret, private_network: true }, publicOnly)).toEqual([])
    const reaches: unknown[] = []
    const made = authorityWorld({
      ...publicOnly,
      outbound: async ({ url: asked, reach }) => {
        reaches.push([asked.origin, reach])
        return { status: 500, headers: [], body: null }
      },
    })
    made.secrets.set(SECRET, new Secret(REVIEWER, [url]))
    const token_review = { url, secret, private_network: true }
    await verify({ world: made, config: { ...member.config, token_review } })
    expect(reaches).toEqual([[url, { privateNetwork: true, loopback: false }]])
    expect(
      made.mistakes('kubernetes', { ...member.config, issuer: 'https://10.0.0.1', token_review }),
    ).toEqual(['/config/issuer unsafe'])
  })
})
