// ID-JAGs as an `oidc` method takes them: told from every other token of the same issuer by type alone, for
// this broker alone, once.
import { beforeAll, describe, expect, it } from 'vitest'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { BROKER, createWorld, ISSUER, memberOf, NOW, outcome, policy, type World } from './setup.ts'

const member = memberOf('oidc')
const CLAIMS: JsonObject = {
  iss: ISSUER,
  sub: 'ada',
  aud: BROKER,
  client_id: 'agents:bot',
  jti: 'jag-1',
  iat: NOW - 10,
  exp: NOW + 200,
}

let world: World
beforeAll(async () => {
  world = await createWorld(member)
})

const common = { subject: 'user' } as const
const compiled = (rules: JsonObject = {}, config: JsonObject = {}) =>
  world.type.compile(policy(member, { ...config, id_jag: rules }, common))

async function verify(
  claims: JsonObject = {},
  of: { header?: JsonObject; rules?: JsonObject; tokenType?: string } = {},
) {
  const { header = {}, rules = {}, tokenType = TOKEN_TYPES.idJag } = of
  const { alg, kid } = world.issuer
  const given = Object.entries({ ...CLAIMS, ...claims }).filter(([, value]) => value !== null)
  const head = Object.entries({ alg, kid, typ: 'oauth-id-jag+jwt', ...header })
  const token = await world.issuer.sign(
    Object.fromEntries(given),
    Object.fromEntries(head.filter(([, value]) => value !== null)),
  )
  return compiled(rules).verify({ tokenType, token })
}

describe('an ID-JAG', () => {
  it('is a user whom one agent may act for, once', async () => {
    expect(await verify()).toMatchObject({
      ok: true,
      value: {
        kind: 'user',
        subject: 'ada',
        grant: { presenter: 'agents:bot', targets: null, scope: null },
        singleUse: { expiresAt: NOW + 260 },
      },
    })
  })

  it.each(['oauth-id-jag+jwt', 'application/oauth-id-jag+jwt', 'OAuth-ID-JAG+JWT'])(
    'JB-06: is typed %s',
    async (typ) => {
      expect(outcome(await verify({}, { header: { typ } }))).toBe('accepted')
    },
  )

  it.each([null, 'JWT', 'at+jwt', 'txntoken+jwt', 'id-jag', '', 7])(
    'JB-06 JB-07: is nothing that is typed %j',
    async (typ) => {
      expect(outcome(await verify({}, { header: { typ } }))).toBe('type_not_allowed')
    },
  )

  it('JB-07: is no attestation, and an attestation is no ID-JAG', async () => {
    for (const tokenType of [TOKEN_TYPES.jwt, TOKEN_TYPES.idToken]) {
      expect(outcome(await verify({}, { tokenType }))).toBe('type_not_allowed')
      expect(outcome(await verify({ aud: 'me' }, { tokenType }))).toBe('type_not_allowed')
    }
    const method = world.type.compile(policy(member))
    expect(method.tokenTypes).not.toContain(TOKEN_TYPES.idJag)
    const token = await world.issuer.sign(CLAIMS)
    expect(outcome(await method.verify({ tokenType: TOKEN_TYPES.idJag, token }))).toBe(
      'unsupported_type',
    )
  })

  it('JW-01: is looked up by its issuer, before any I/O', async () => {
    const token = await world.issuer.sign(CLAIMS)
    expect(selectAttestation({ tokenType: TOKEN_TYPES.idJag, token })).toEqual({
      ok: true,
      value: { by: 'issuer', issuer: ISSUER },
    })
  })

  it.each([
    [BROKER, 'accepted'],
    [[BROKER], 'accepted'],
    [[BROKER, 'me'], 'wrong_audience'],
    ['me', 'wrong_audience'],
    [`${BROKER}/`, 'wrong_audience'],
    [`${BROKER}/token-exchange`, 'wrong_audience'],
    [[], 'wrong_audience'],
    [{ 0: BROKER }, 'claim_type'],
    [null, 'missing_claim'],
  ])('aud %j is %s', async (aud, expected) => {
    expect(outcome(await verify({ aud }))).toBe(expected)
  })

  it.each([
    [{ client_id: null }, 'missing_claim'],
    [{ client_id: '' }, 'claim_mismatch'],
    [{ client_id: ['agents:bot'] }, 'claim_mismatch'],
    [{ jti: null }, 'missing_claim'],
    [{ jti: '' }, 'claim_type'],
    [{ iat: null }, 'missing_claim'],
    [{ exp: NOW + 291 }, 'lifetime_too_long'],
    [{ exp: NOW + 290 }, 'accepted'],
    [{ exp: NOW - 60 }, 'expired'],
    [{ iss: BROKER }, 'own_token'],
    [{ sub: '' }, 'claim_type'],
    [{ authorization_details: [] }, 'claim_mismatch'],
    [{ resource: [] }, 'claim_mismatch'],
    [{ resource: [7] }, 'claim_mismatch'],
    [{ scope: '' }, 'claim_mismatch'],
    [{ scope: ['read'] }, 'claim_mismatch'],
    [{ scope: 'chat.read' }, 'claim_mismatch'],
    [{ events: {} }, 'type_not_allowed'],
    [{ typ: 'Refresh' }, 'type_not_allowed'],
    // Whether it is proven is for the exchange to see.
    [{ cnf: { jkt: 'x' } }, 'accepted'],
  ])('with %j is %s', async (claims: JsonObject, expected) => {
    expect(outcome(await verify(claims))).toBe(expected)
  })

  it('says what it is for in terms of targets and scope', async () => {
    const resource = [`${BROKER}/t/crm`, `${BROKER}/t/crm?x=1`, 'https://elsewhere.example/t/mail']
    expect(await verify({ resource, scope: 'read write:POST%20/v1/notes' })).toMatchObject({
      value: {
        grant: {
          targets: ['crm'],
          scope: [
            { effect: 'read', object: null },
            { effect: 'write', object: 'POST /v1/notes' },
          ],
        },
      },
    })
  })

  it('a client of the identity provider is the agent that `clients` says, and else nobody', async () => {
    const rules = { clients: { '0oa1': 'agents:bot' } }
    expect(await verify({ client_id: '0oa1' }, { rules })).toMatchObject({
      value: { grant: { presenter: 'agents:bot' } },
    })
    for (const client_id of ['agents:bot', '0oa2', '__proto__', 'constructor']) {
      expect(outcome(await verify({ client_id }, { rules }))).toBe('claim_mismatch')
    }
  })

  it('what it opened holds as long as its rules do', async () => {
    expect(compiled().accepts(CLAIMS)).toBe(true)
    expect(world.type.compile(policy(member)).accepts(CLAIMS)).toBe(false)
    expect(compiled({ clients: { x: 'agents:bot' } }).accepts(CLAIMS)).toBe(false)
    expect(compiled().accepts({ iss: ISSUER, sub: 'ada', aud: 'me' })).toBe(true)
  })
})

describe('`id_jag`', () => {
  const mistakes = (id_jag: JsonObject[string], subject: 'user' | 'workload' = 'user') =>
    world.type
      .validate(policy(member, { id_jag }, { subject }))
      .map(({ path, code }) => `${path} ${code}`)

  it('is for methods that vouch for users', () => {
    expect(mistakes({})).toEqual([])
    expect(mistakes({}, 'workload')).toEqual(['/config/id_jag value'])
  })

  it('says all its mistakes at once', () => {
    expect(mistakes(true)).toEqual(['/config/id_jag type'])
    expect(
      mistakes({ max_lifetime_seconds: 3601, clients: { a: 'bot', b: 1, c: 'x:y' }, aud: 'x' }),
    ).toEqual([
      '/config/id_jag/aud unknown_member',
      '/config/id_jag/max_lifetime_seconds range',
      '/config/id_jag/clients/a format',
      '/config/id_jag/clients/b format',
    ])
    expect(mistakes({ clients: {} })).toEqual(['/config/id_jag/clients range'])
    expect(mistakes({ clients: [] })).toEqual(['/config/id_jag/clients type'])
  })
})
