// Opaque tokens, against an authorization server and a userinfo endpoint on the loopback.
import { inspect } from 'node:util'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { PINNING_CLAIMS } from '../../functions/auth-methods/introspection-config.ts'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import { verifyAttestation } from '../../functions/core/attestation.ts'
import { selectorKey, type CompiledAuthMethod } from '../../functions/core/auth-method.ts'
import { Secret } from '../../functions/core/credential.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { startOrigin, type Origin } from '../fakes/origin.ts'
import { tokenIssuer, type TokenIssuer } from '../fakes/token-issuer.ts'
import { authorityWorld, type AuthorityWorld } from './authority.ts'
import { BROKER, NOW, outcome } from './setup.ts'

const TYPE = 'oauth-introspection'
const TOKEN = 'opaque-token-of-a-saas_~+/=='
const SECRET = 'sealed:client'

/** What an authorization server says of a good token of our application. */
const ACTIVE: JsonObject = {
  active: true,
  sub: 'user-1',
  client_id: 'our-app',
  token_type: 'Bearer',
  scope: 'read',
  iat: NOW - 10,
  exp: NOW + 600,
}
const USERINFO: JsonObject = { sub: 'user-1', team_id: 'T1', name: 'Ann' }

let signer: TokenIssuer
beforeAll(async () => {
  signer = await tokenIssuer('ES256')
})

const open: Origin[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((origin) => origin.close()))
})

type Answer = {
  status?: number
  headers?: Record<string, string>
  body?: string
}

async function authority(says: JsonObject, answer: Answer = {}) {
  const seen: { method: string; url: string; authorization: string; body: string }[] = []
  const now = { says }
  const origin = await startOrigin((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => (body += part.toString()))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      seen.push({ method, url, authorization: headers.authorization ?? '', body })
      response.writeHead(answer.status ?? 200, answer.headers)
      response.end(answer.body ?? JSON.stringify(now.says))
    })
  })
  open.push(origin)
  return { origin, seen, now }
}

type Setting = { readonly world: AuthorityWorld; readonly config: JsonObject }

function introspection(
  origin: Origin,
  config: JsonObject = {},
  secret = 'our-id:our-secret',
): Setting {
  const world = authorityWorld()
  world.secrets.set(SECRET, new Secret(secret, [origin.url]))
  return {
    world,
    config: {
      introspection_endpoint: `${origin.url}/introspect`,
      secret: SECRET,
      match: { client_id: 'our-app' },
      ...config,
    },
  }
}

function userinfo(origin: Origin, config: JsonObject = {}): Setting {
  return {
    world: authorityWorld(),
    config: { userinfo_endpoint: `${origin.url}/me`, match: { team_id: 'T1' }, ...config },
  }
}

const verify = (
  { world, config }: Setting,
  token = TOKEN,
  tokenType: string = TOKEN_TYPES.opaque,
) => world.compiled(TYPE, config).verify({ tokenType, token })

describe('introspection (RFC 7662)', () => {
  it('asks with HTTP Basic, in a form, and takes what it says for the claims', async () => {
    const { origin, seen } = await authority(ACTIVE)
    const result = await verify(introspection(origin))
    expect(seen).toEqual([
      {
        method: 'POST',
        url: '/introspect',
        authorization: `Basic ${Buffer.from('our-id:our-secret').toString('base64')}`,
        body: 'token=opaque-token-of-a-saas_%7E%2B%2F%3D%3D&token_type_hint=access_token',
      },
    ])
    expect(result).toMatchObject({
      ok: true,
      value: {
        method: 'method-1',
        subject: 'user-1',
        expiresAt: NOW + 600,
        claims: { client_id: 'our-app', scope: 'read' },
        evidence: { asked: new URL(origin.url).host },
      },
    })
  })

  it('RFC 6749 2.3.1 encodes id and password; without an id the secret is a bearer token', async () => {
    const { origin, seen } = await authority(ACTIVE)
    await verify(introspection(origin, { client_id: 'id with:odd%'.replace(' ', '+') }, 'p:w+d'))
    await verify(introspection(origin, {}, 'bearer-of-the-broker'))
    const basic = Buffer.from('id%2Bwith%3Aodd%25:p%3Aw%2Bd').toString('base64')
    expect(seen.map(({ authorization }) => authorization)).toEqual([
      `Basic ${basic}`,
      'Bearer bearer-of-the-broker',
    ])
  })

  it('a client that acts for itself is its client_id, and never a user of that name', async () => {
    const { sub: _, ...client } = ACTIVE
    const { origin } = await authority(client)
    const result = await verify(introspection(origin))
    expect(result.ok && result.value.subject).toBe('client_id=our-app')
    const user = await authority({ ...ACTIVE, sub: 'client_id=our-app' })
    const refused = await verify(introspection(user.origin))
    expect(refused.ok ? 'accepted' : refused.failure.reason).toBe('claim_mismatch')
  })

  const { exp: _exp, ...endless } = ACTIVE
  const answers: readonly (readonly [string, JsonObject, string])[] = [
    ['a revoked token', { active: false }, 'inactive'],
    ['active as a text', { ...ACTIVE, active: 'true' }, 'inactive'],
    ['active as a number', { ...ACTIVE, active: 1 }, 'inactive'],
    ['no word of it', { sub: 'user-1', client_id: 'our-app', exp: NOW + 600 }, 'inactive'],
    ['SEC the token of another application', { ...ACTIVE, client_id: 'evil' }, 'claim_mismatch'],
    [
      'SEC a token without an application',
      { active: true, sub: 'u', exp: NOW + 9 },
      'claim_mismatch',
    ],
    ['an expired token that is active', { ...ACTIVE, exp: NOW - 61 }, 'expired'],
    ['a token without an end', endless, 'missing_claim'],
    ['an end that is a text', { ...ACTIVE, exp: String(NOW + 600) }, 'claim_type'],
    ['a token of the future', { ...ACTIVE, nbf: NOW + 61 }, 'not_yet_valid'],
    ['a token of years', { ...ACTIVE, exp: NOW + 1e8 }, 'lifetime_too_long'],
    ['AUTH-7 a token bound to a key', { ...ACTIVE, cnf: { jkt: 'x' } }, 'type_not_allowed'],
    ['AUTH-7 a DPoP token', { ...ACTIVE, token_type: 'DPoP' }, 'type_not_allowed'],
    ['JW-12 a refresh token', { ...ACTIVE, typ: 'Refresh' }, 'type_not_allowed'],
    [
      'JW-12 a refresh token by its kind',
      { ...ACTIVE, token_type: 'refresh_token' },
      'type_not_allowed',
    ],
    ['AUTH-5 a token of this broker', { ...ACTIVE, iss: BROKER }, 'own_token'],
    ['SPIFFE-2 a SPIFFE ID', { ...ACTIVE, sub: 'spiffe://prod.example/a' }, 'invalid_spiffe_id'],
    ['a subject that is a number', { ...ACTIVE, sub: 7 }, 'claim_type'],
    ['an empty subject', { ...ACTIVE, sub: '' }, 'claim_type'],
    ['a subject with a line break', { ...ACTIVE, sub: 'a\nb' }, 'claim_type'],
  ]
  it.each(answers)('refuses %s', async (_name, says, expected) => {
    const { origin } = await authority(says)
    expect(outcome(await verify(introspection(origin)))).toBe(expected)
  })

  it('AUTH-4 holds the token to the audiences, which pin it as well', async () => {
    const { origin, now } = await authority({ ...ACTIVE, aud: BROKER })
    const config = { audiences: [BROKER], match: { scope: 'read' } }
    expect(outcome(await verify(introspection(origin, config)))).toBe('accepted')
    now.says = { ...ACTIVE, aud: [BROKER, 'https://other.example'] }
    expect(outcome(await verify(introspection(origin, config)))).toBe('wrong_audience')
    now.says = ACTIVE
    expect(outcome(await verify(introspection(origin, config)))).toBe('missing_claim')
  })
})

describe('userinfo', () => {
  it('shows the token to that URL, and knows whose it is', async () => {
    const { origin, seen } = await authority(USERINFO)
    const result = await verify(userinfo(origin))
    expect(seen).toEqual([
      { method: 'GET', url: '/me', authorization: `Bearer ${TOKEN}`, body: '' },
    ])
    expect(result).toMatchObject({ ok: true, value: { subject: 'user-1', expiresAt: null } })
  })

  const answers: readonly (readonly [string, JsonObject, string])[] = [
    ['SEC a 200 for the user of another tenant', { ...USERINFO, team_id: 'T2' }, 'claim_mismatch'],
    ['SEC a 200 without a tenant', { sub: 'user-1' }, 'claim_mismatch'],
    ['a 200 without a subject', { team_id: 'T1' }, 'missing_claim'],
    ['a 200 with an error in it', { ok: false, error: 'invalid_auth' }, 'missing_claim'],
    ['a client for a subject', { client_id: 'our-app', team_id: 'T1' }, 'missing_claim'],
    ['an end in the past', { ...USERINFO, exp: NOW - 100 }, 'expired'],
  ]
  it.each(answers)('refuses %s', async (_name, says, expected) => {
    const { origin } = await authority(says)
    expect(outcome(await verify(userinfo(origin)))).toBe(expected)
  })

  it.each([401, 403])('a %i is a refusal of the token', async (status) => {
    const { origin } = await authority({}, { status })
    expect(outcome(await verify(userinfo(origin)))).toBe('inactive')
  })
})

describe('an authority that cannot be relied on', () => {
  const faults: readonly (readonly [string, Answer])[] = [
    ['is down', { status: 503 }],
    ['does not know the broker', { status: 401 }],
    ['answers 201', { status: 201 }],
    ['redirects', { status: 302, headers: { location: 'https://elsewhere.example/' } }],
    ['talks HTML', { body: '<html>' }],
    ['says active twice', { body: '{"active":false,"active":true}' }],
    ['sends a list', { body: '[]' }],
    ['signs its answer', { body: 'eyJ0eXAiOiJ0b2tlbi1pbnRyb3NwZWN0aW9uK2p3dCJ9.e30.x' }],
    ['talks at length', { body: `{"a":"${'x'.repeat(70_000)}"}` }],
    ['compresses', { headers: { 'content-encoding': 'gzip' }, body: 'x' }],
    ['nests without end', { body: `{"a":${'['.repeat(60)}${']'.repeat(60)}}` }],
  ]
  it.each(faults)('DEP vouches for nobody when it %s', async (_name, answer) => {
    const { origin } = await authority(ACTIVE, answer)
    expect(outcome(await verify(introspection(origin)))).toBe('keys_unreachable')
  })

  it('DEP vouches for nobody when it is gone', async () => {
    const { origin } = await authority(ACTIVE)
    const setting = introspection(origin)
    await origin.close()
    expect(outcome(await verify(setting))).toBe('keys_unreachable')
  })
})

describe('where the token goes', () => {
  it.each(['', 'a b', 'a\r\nb', 'ä', 'a'.repeat(8193), 'a=b', 'a,b', 'a\u0000'])(
    'nowhere, when it is none (%#)',
    async (token) => {
      const { origin, seen } = await authority(ACTIVE)
      expect(outcome(await verify(introspection(origin), token))).toBe('malformed')
      expect(seen).toEqual([])
    },
  )

  it('AUTH-5 nowhere, when it is a handle of this broker', async () => {
    const { origin, seen } = await authority(ACTIVE)
    const handle = await signer.sign({ iss: BROKER, sub: 'x' }, { alg: 'ES256', kid: 'k' })
    expect(outcome(await verify(introspection(origin), handle))).toBe('own_token')
    expect(seen).toEqual([])
  })

  it.each([TOKEN_TYPES.jwt, TOKEN_TYPES.accessToken])('TX-05 nowhere, as %s', async (type) => {
    const { origin, seen } = await authority(ACTIVE)
    expect(outcome(await verify(introspection(origin), TOKEN, type))).toBe('unsupported_type')
    expect(seen).toEqual([])
  })

  it('nowhere, while the credential may not go there', async () => {
    const { origin, seen } = await authority(ACTIVE)
    const setting = introspection(origin)
    setting.world.secrets.set(SECRET, new Secret('id:secret', ['https://elsewhere.example']))
    expect(outcome(await verify(setting))).toBe('keys_unreachable')
    expect(seen).toEqual([])
  })

  const present = (methods: readonly CompiledAuthMethod[], authMethod: string | null) =>
    verifyAttestation(
      { tokenType: TOKEN_TYPES.opaque, token: TOKEN },
      {
        snapshot: {
          revision: 1,
          methods: new Map(),
          userMethods: new Set(),
          methodsBySelector: new Map([
            [selectorKey({ by: 'token_type', tokenType: TOKEN_TYPES.opaque }), methods],
          ]),
          targets: new Map(),
          intentPolicies: new Map(),
        },
        authMethod,
        select: selectAttestation,
      },
    )

  it('JW-01 to the authority of the one method that the request names, and else to none', async () => {
    const first = await authority(ACTIVE)
    const second = await authority(ACTIVE)
    const methods = [first, second].map(({ origin }, i) => {
      const { world, config } = introspection(origin)
      return { ...world.compiled(TYPE, config), name: `method-${i + 1}` }
    })
    expect(await present(methods, null)).toMatchObject({
      ok: false,
      failure: { reason: 'ambiguous_method' },
    })
    expect(await present(methods.slice(0, 1), null)).toMatchObject({ ok: false })
    expect(await present(methods, 'method-3')).toMatchObject({ ok: false })
    expect([...first.seen, ...second.seen]).toEqual([])
    expect(await present(methods, 'method-2')).toMatchObject({ ok: true })
    expect([first.seen.length, second.seen.length]).toEqual([0, 1])
  })

  it('LEAK-2 into no identity and no refusal', async () => {
    const { origin, now } = await authority(ACTIVE)
    const setting = introspection(origin)
    const accepted = await verify(setting)
    now.says = { active: false }
    const refused = await verify(setting)
    for (const result of [accepted, refused]) {
      const shown = inspect(result, { depth: 10 }) + JSON.stringify(result)
      expect(shown).not.toContain('opaque-token')
      expect(shown).not.toContain('our-secret')
    }
  })
})

describe('what is remembered', () => {
  it('SEC nothing, so that a revoked token is refused at once', async () => {
    const { origin, seen, now } = await authority(ACTIVE)
    const setting = introspection(origin)
    const method = setting.world.compiled(TYPE, setting.config)
    const ask = () => method.verify({ tokenType: TOKEN_TYPES.opaque, token: TOKEN })
    expect(outcome(await ask())).toBe('accepted')
    now.says = { active: false }
    expect(outcome(await ask())).toBe('inactive')
    expect(seen).toHaveLength(2)
  })

  it('what was vouched for, for cache_seconds, per token and per version of the method', async () => {
    const { origin, seen, now } = await authority(ACTIVE)
    const { world, config } = introspection(origin, { cache_seconds: 30 })
    const method = world.compiled(TYPE, config)
    const ask = (token = TOKEN) => method.verify({ tokenType: TOKEN_TYPES.opaque, token })
    await ask()
    now.says = { active: false }
    expect(outcome(await ask())).toBe('accepted')
    expect(outcome(await ask('another-token'))).toBe('inactive')
    expect(
      outcome(
        await world.compiled(TYPE, config).verify({
          tokenType: TOKEN_TYPES.opaque,
          token: TOKEN,
        }),
      ),
    ).toBe('inactive')
    expect(seen).toHaveLength(3)
    world.now += 30
    expect(outcome(await ask())).toBe('inactive')
    now.says = ACTIVE
    expect(outcome(await ask())).toBe('accepted')
  })

  it('never past the end of the token', async () => {
    const { origin } = await authority({ ...ACTIVE, exp: NOW + 10 })
    const { world, config } = introspection(origin, { cache_seconds: 60 })
    const method = world.compiled(TYPE, config)
    const ask = () => method.verify({ tokenType: TOKEN_TYPES.opaque, token: TOKEN })
    expect(outcome(await ask())).toBe('accepted')
    // Ten seconds, and the skew of two clocks.
    world.now += 70 - 11
    expect(outcome(await ask())).toBe('accepted')
    world.now += 12
    expect(outcome(await ask())).toBe('expired')
  })
})

describe('configuration of oauth-introspection', () => {
  const world = authorityWorld({ reach: { privateNetwork: false, loopback: false } })
  const good: JsonObject = {
    introspection_endpoint: 'https://idp.example/introspect',
    secret: SECRET,
    match: { client_id: 'our-app' },
  }
  const me: JsonObject = { userinfo_endpoint: 'https://api.example/me', match: { team_id: 'T1' } }
  const mistakes = (config: JsonObject) => world.mistakes(TYPE, config)

  it('is good with one endpoint, its credential and a pin', () => {
    expect(mistakes(good)).toEqual([])
    expect(mistakes(me)).toEqual([])
  })

  it('has exactly one endpoint, and a credential where it is asked for', () => {
    const { introspection_endpoint: _, ...none } = good
    expect(mistakes(none)).toContain('/config/introspection_endpoint required')
    expect(mistakes({ ...good, ...me })).toContain('/config/introspection_endpoint value')
    const { secret: _secret, ...open_ } = good
    expect(mistakes(open_)).toEqual(['/config/secret required'])
    expect(mistakes({ ...good, secret: 'id:secret with spaces' })).toEqual([
      '/config/secret format',
    ])
    expect(mistakes({ ...me, secret: SECRET, client_id: 'x' })).toEqual([
      '/config/secret value',
      '/config/client_id value',
    ])
    expect(mistakes({ ...good, cache_seconds: 61, scope: 'x' })).toEqual([
      '/config/scope unknown_member',
      '/config/cache_seconds range',
    ])
  })

  it.each([
    'http://idp.example/introspect',
    'https://user@idp.example/',
    'https://idp.example/?x=1',
    'https://169.254.169.254/',
    'https://10.0.0.1/introspect',
    `${BROKER}/introspect`,
  ])('JW-02 SSRF-1 AUTH-5 has no endpoint %s', (url) => {
    expect(mistakes({ ...good, introspection_endpoint: url })).toEqual([
      '/config/introspection_endpoint unsafe',
    ])
    expect(mistakes({ ...me, userinfo_endpoint: url })).toEqual([
      '/config/userinfo_endpoint unsafe',
    ])
  })

  it.each([
    ['nothing', {}],
    ['the user alone', { sub: 'user-1' }],
    ['the scope alone', { scope: 'read' }],
    ['an empty application', { client_id: '' }],
    ['one application of two', { client_id: ['our-app', ''] }],
    ['a boolean', { client_id: true }],
  ])('RB-14 SEC cannot be saved pinned by %s: the confused deputy', (_name, match: JsonObject) => {
    expect(mistakes({ ...good, match })).toContain('/config/match unsafe')
    expect(mistakes({ ...me, match })).toContain('/config/match unsafe')
  })

  it.each(PINNING_CLAIMS.map((claim) => [claim]))('RB-14 is pinned by %s', (claim) => {
    expect(mistakes({ ...good, match: { [claim]: 'mine' } })).toEqual([])
  })
})
