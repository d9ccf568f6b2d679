import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { grantsAllow } from '../../functions/core/grants.ts'
import { EFFECTS, type Grant } from '../../functions/core/policy.ts'
import { createIdJagTarget } from '../../functions/targets/id-jag.ts'
import { mintFactsOf, NOW, userOf } from '../fakes/mint-facts.ts'
import { BROKER, issuerOf, mistakesOf } from './issued-tokens.ts'

const CONFIG = {
  audience: 'https://chat.example',
  client_id: 'agent-at-chat',
  subject_issuer: 'https://login.example',
  login_client_id: 'chat-agent',
  scopes: { 'chat.read': 'read', 'chat.write': 'write', 'https://chat.example/admin': 'admin' },
} as const

const onBehalfOf = userOf()
const facts = (over: Parameters<typeof mintFactsOf>[0] = {}) => mintFactsOf({ onBehalfOf, ...over })
const issuer = (config: object = {}) => issuerOf(createIdJagTarget, { ...CONFIG, ...config })
const mistakes = (config: object, loopback = false) =>
  mistakesOf(createIdJagTarget, { config: { ...CONFIG, ...config } }, loopback)

describe('ID-JAG: an identity assertion grant', () => {
  test('says who the user is, who acts, for which client, at which server and for what', async () => {
    const { header, claims, minted } = await issuer().issue(facts())
    expect(header).toMatchObject({ alg: 'ES256', typ: 'oauth-id-jag+jwt' })
    expect(claims).toEqual({
      iss: `${BROKER}/federation`,
      sub: 'ada',
      aud: 'https://chat.example',
      client_id: 'agent-at-chat',
      scope: 'chat.read',
      act: { iss: `${BROKER}/federation`, sub: 'ci:agent-7' },
      jti: 'jti_1',
      iat: NOW,
      exp: NOW + 300,
    })
    expect(minted).toMatchObject({ expiresAt: NOW + 300, members: {}, document: null })
    expect(JSON.stringify(minted.record)).not.toContain(minted.token.slice(0, 40))
  })

  test('is asked for by its token type', () => {
    expect(issuer().tokenType).toBe('urn:ietf:params:oauth:token-type:id-jag')
  })

  test('has a `jti` of its own each time', async () => {
    const one = issuer()
    const jtis = [await one.issue(facts()), await one.issue(facts())].map(
      ({ claims }) => claims.jti,
    )
    expect(new Set(jtis).size).toBe(2)
  })

  test('carries how the user signed in, the tenants and the resource, and no profile of the user', async () => {
    const signedIn = { auth_time: NOW - 60, acr: 'phr', amr: ['hwk'], email: 'ada@example.com' }
    const config = { resource: 'https://chat.example/api', tenant: 't-1', aud_tenant: 't-2' }
    const { claims } = await issuer(config).issue(facts({ onBehalfOf: userOf(signedIn) }))
    expect(claims).toMatchObject({ auth_time: NOW - 60, acr: 'phr', amr: ['hwk'], ...config })
    expect(claims).not.toHaveProperty('email')
  })

  test('the token of a user overrides nothing of it', async () => {
    const claims = { client_id: 'x', scope: 'admin', act: { sub: 'x' }, cnf: { jkt: 'x' }, exp: 1 }
    const plain = await issuer().issue(facts())
    const forged = await issuer().issue(facts({ onBehalfOf: userOf(claims) }))
    expect(forged.claims).toEqual(plain.claims)
  })

  test('AC-03: names the agents before the one that acts, the nearest first', async () => {
    const ancestor = (identity: string) => ({
      identity,
      authMethod: 'ci',
      claims: {},
      intent: null,
      createdAt: NOW,
    })
    const lineage = {
      ancestors: ['ses_1', 'ses_2'],
      actors: [ancestor('ci:root'), ancestor('ci:middle')],
      limits: {},
    }
    const iss = `${BROKER}/federation`
    const { claims } = await issuer().issue(facts({ lineage }))
    expect(claims['act']).toEqual({
      iss,
      sub: 'ci:agent-7',
      act: { iss, sub: 'ci:middle', act: { iss, sub: 'ci:root' } },
    })
  })

  test('is bound to the key that the request proved', async () => {
    const { claims } = await issuer().issue(facts({ confirmation: { jkt: 'thumbprint' } }))
    expect(claims['cnf']).toEqual({ jkt: 'thumbprint' })
  })

  test('is refused where it had to be bound to a certificate, which it cannot be', async () => {
    const confirmation = { jkt: 'thumbprint', 'x5t#S256': 'certificate' }
    expect(await issuer().refusal(facts({ confirmation }))).toBe('mint_refused certificate_binding')
  })
})

describe('ID-JAG: of whom it speaks', () => {
  test.each([
    ['nobody', null],
    ['a user who came alone', userOf({}, { relation: 'impersonation' })],
  ])('of %s there is none', async (_, behalf) => {
    expect(await issuer().refusal(facts({ onBehalfOf: behalf }))).toBe('mint_refused user_required')
  })

  test.each([
    ['another issuer', { iss: 'https://other.example' }],
    ['another spelling of the issuer', { iss: 'https://login.example/' }],
    ['no issuer', { iss: null }],
    ['no subject', { sub: null }],
    ['a subject that is no text', { sub: ['ada'] }],
  ])('AC-04: a user with the same `sub` and %s is somebody else', async (_, claims) => {
    const refused = await issuer().refusal(facts({ onBehalfOf: userOf(claims) }))
    expect(refused).toBe('mint_refused unknown_user')
  })

  test.each([
    ['was issued to another client', { aud: 'other-client' }],
    ['has no audience', { aud: null }],
    ['names another client in azp', { azp: 'other-client' }],
    ['has several audiences and no azp', { aud: ['chat-agent', 'other-client'] }],
    ['has several audiences and the other azp', { aud: ['chat-agent', 'x'], azp: 'x' }],
    ['is for an authorization server: an ID-JAG itself', { aud: BROKER, client_id: 'chat-agent' }],
  ])('an ID token that %s buys none', async (_, claims) => {
    const refused = await issuer().refusal(facts({ onBehalfOf: userOf(claims) }))
    expect(refused).toBe('mint_refused other_client')
  })

  test.each([
    ['one audience in a list', { aud: ['chat-agent'] }],
    ['the same azp', { azp: 'chat-agent' }],
    [
      'several audiences and the azp of this client',
      { aud: ['chat-agent', 'x'], azp: 'chat-agent' },
    ],
  ])('an ID token with %s does', async (_, claims) => {
    expect(await issuer().refusal(facts({ onBehalfOf: userOf(claims) }))).toBe('planned')
  })
})

describe('ID-JAG: what it is good for', () => {
  const all = { effects: ['read', 'write', 'admin'], objects: ['**'] } as const

  test('carries the words that are granted, and the action is about those', async () => {
    const grants = [
      { effects: ['read'], objects: ['chat.*'] },
      { effects: ['write'], objects: ['other'] },
    ] as const
    const { claims, plan } = await issuer().issue(facts({ grants }))
    expect(claims['scope']).toBe('chat.read')
    expect(plan.action).toMatchObject({
      name: 'id_jag.issue',
      target: 'down',
      targetType: 'id-jag',
      effects: ['read'],
      objects: ['chat.read'],
      destinations: ['chat.example'],
    })
  })

  test('a word that the target does not know is in no token', async () => {
    const grants = [{ effects: ['read'], objects: ['chat.secret', 'chat.write'] }] as const
    expect(await issuer().refusal(facts({ grants }))).toBe('invalid_scope nothing_left')
  })

  test('property: no word is in it that the grants do not allow with its effect', async () => {
    const words = ['chat.read', 'chat.write', 'chat.purge', 'x']
    const effect = fc.constantFrom(...EFFECTS)
    const grant: fc.Arbitrary<Grant> = fc.record({
      effects: fc.array(effect, { maxLength: 3 }),
      objects: fc.array(fc.constantFrom(...words, 'chat.*', '**', 'chat.read.more'), {
        maxLength: 3,
      }),
    })
    const scopes = fc.dictionary(fc.constantFrom(...words), effect, { minKeys: 1 })
    await fc.assert(
      fc.asyncProperty(scopes, fc.array(grant, { maxLength: 4 }), async (configured, grants) => {
        const planned = await issuer({ scopes: configured }).plan(facts({ grants }))
        const allowed = Object.entries(configured).filter(([word, one]) =>
          grantsAllow(grants, [one], [word]),
        )
        expect(planned.ok).toBe(allowed.length > 0)
        if (!planned.ok) return
        expect(planned.value.action.objects).toEqual(allowed.map(([word]) => word))
      }),
    )
  })

  test.each([
    ['five minutes', {}, 3600, 300],
    ['what the target says', { max_lifetime_seconds: 30 }, 3600, 30],
    ['what is left of the session', {}, 20, 20],
  ])('lives no longer than %s', async (_, config, left, seconds) => {
    const issued = await issuer(config).issue(facts({ grants: [all], endsAt: NOW + left }))
    expect(issued.claims.exp).toBe(NOW + seconds)
    expect([issued.plan.endsAt, issued.minted.expiresAt]).toEqual([NOW + seconds, NOW + seconds])
  })
})

describe('a target of type id-jag', () => {
  test('of the whole form has no mistakes', () => {
    const resource = 'https://chat.example/api'
    expect(mistakes({ resource, tenant: 'a', aud_tenant: 'b', max_lifetime_seconds: 60 })).toEqual(
      [],
    )
    expect(mistakes({ audience: 'http://127.0.0.1:8080' }, true)).toEqual([])
    // Nothing is sent there.
    expect(mistakes({ audience: 'https://chat.internal' })).toEqual([])
  })

  test.each([
    ['an audience over http', { audience: 'http://chat.example' }, '/config/audience unsafe'],
    ['an audience that is no URL', { audience: 'chat' }, '/config/audience unsafe'],
    ['several audiences', { audience: ['https://chat.example'] }, '/config/audience type'],
    ['no audience', { audience: undefined }, '/config/audience required'],
    ['no client', { client_id: undefined }, '/config/client_id required'],
    ['a client with a space', { client_id: 'a b' }, '/config/client_id format'],
    ['no issuer of users', { subject_issuer: undefined }, '/config/subject_issuer required'],
    [
      'an issuer with a query',
      { subject_issuer: 'https://a.example?x' },
      '/config/subject_issuer unsafe',
    ],
    ['no client of users', { login_client_id: undefined }, '/config/login_client_id required'],
    [
      'this broker as client of users',
      { login_client_id: BROKER },
      '/config/login_client_id unsafe',
    ],
    ['a resource with a fragment', { resource: 'https://a.example/#x' }, '/config/resource unsafe'],
    ['a life of an hour', { max_lifetime_seconds: 3600 }, '/config/max_lifetime_seconds range'],
    ['no life', { max_lifetime_seconds: 0 }, '/config/max_lifetime_seconds range'],
    ['no scopes', { scopes: {} }, '/config/scopes range'],
    ['scopes without effects', { scopes: ['chat.read'] }, '/config/scopes type'],
    ['an effect that is none', { scopes: { read: 'look' } }, '/config/scopes/read value'],
    ['a scope with a space', { scopes: { 'a b': 'read' } }, '/config/scopes/a b value'],
    ['a scope with a wildcard', { scopes: { 'chat.*': 'read' } }, '/config/scopes/chat.* value'],
    [
      'a scope for prototypes',
      { scopes: JSON.parse('{"__proto__ ":"read"}') },
      '/config/scopes/__proto__  value',
    ],
    ['a member that is none', { users: [] }, '/config/users unknown_member'],
  ])('refuses %s', (_, config, mistake) => {
    const given = Object.fromEntries(
      Object.entries({ ...CONFIG, ...config }).filter(([, value]) => value !== undefined),
    )
    expect(mistakesOf(createIdJagTarget, { config: given })).toEqual([mistake])
  })

  test.each([
    BROKER,
    `${BROKER}/`,
    `${BROKER}/federation`,
    `${BROKER}/t/crm`,
    `${BROKER}/token-exchange`,
    'https://sts.amazonaws.com',
    'https://sts.eu-central-1.amazonaws.com',
    'https://sts.cn-north-1.amazonaws.com.cn',
    'https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
  ])('refuses %s as its audience: a token for it would be more than it is', (audience) => {
    expect(mistakes({ audience })).toEqual(['/config/audience unsafe'])
  })

  test('refuses what would look like a restriction and is none', () => {
    const { config } = { config: CONFIG }
    const credential = { inject: 'bearer', secret: 'sealed:x' } as const
    const others = { mask: [], max_response_bytes: 1, max_masked_bytes: 1, private_network: true }
    expect(mistakesOf(createIdJagTarget, { config, credential, ...others })).toEqual([
      '/credential unexpected',
      '/mask unexpected',
      '/max_response_bytes unexpected',
      '/max_masked_bytes unexpected',
      '/private_network unexpected',
    ])
  })
})
