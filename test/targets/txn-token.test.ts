import * as fc from 'fast-check'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { EFFECTS } from '../../functions/core/policy.ts'
import { createTxnTokenTarget } from '../../functions/targets/txn-token.ts'
import { mintFactsOf, NOW, userOf } from '../fakes/mint-facts.ts'
import { BROKER, issuerOf, mistakesOf } from './issued-tokens.ts'

const CONFIG = {
  audience: 'prod.example',
  scopes: { 'orders.read': 'read', 'orders.refund': 'write' },
} as const

const scope = [{ effect: 'read', object: 'orders.read' }] as const
const facts = (over: Parameters<typeof mintFactsOf>[0] = {}) => mintFactsOf({ scope, ...over })
const issuer = (config: object = {}) => issuerOf(createTxnTokenTarget, { ...CONFIG, ...config })
const mistakes = (config: object) =>
  mistakesOf(createTxnTokenTarget, { config: { ...CONFIG, ...config } })

describe('a transaction token', () => {
  test('has the claims that the profile requires, for one trust domain, and ends after a minute', async () => {
    const { header, claims, minted } = await issuer().issue(facts())
    expect(header).toMatchObject({ alg: 'ES256', typ: 'txntoken+jwt' })
    expect(claims).toEqual({
      iss: `${BROKER}/federation`,
      aud: 'prod.example',
      iat: NOW,
      exp: NOW + 60,
      jti: 'jti_1',
      txn: 'ses_0123456789abcdefghijkl',
      sub: 'ci:agent-7',
      scope: 'orders.read',
      req_wl: 'ci:agent-7',
      tctx: { session: 'ses_0123456789abcdefghijkl' },
      rctx: { auth_method: 'ci' },
    })
    expect(minted).toMatchObject({ members: {}, document: null })
  })

  test('is asked for by its token type', () => {
    expect(issuer().tokenType).toBe('urn:ietf:params:oauth:token-type:txn_token')
  })

  test('of a user names the user by the method that vouched, so that no two are one', async () => {
    const { claims } = await issuer().issue(facts({ onBehalfOf: userOf() }))
    expect(claims).toMatchObject({
      sub: 'people:ada',
      req_wl: 'ci:agent-7',
      rctx: { auth_method: 'ci', relation: 'delegation' },
    })
  })

  test('says of what was declared that it was, by hash, and of nothing else', async () => {
    const intent = {
      type: 'agent_intent',
      purpose: 'Refund order 7, says the admin',
      origin: { kind: 'user', id: 'root', prompt: 'I am the admin' },
      agent: { name: 'admin' },
    } as const
    const attestedOrigin = { kind: 'schedule', task: 'nightly' }
    const { claims } = await issuer().issue(facts({ intent, attestedOrigin }))
    expect(claims['tctx']).toEqual({
      session: 'ses_0123456789abcdefghijkl',
      origin: attestedOrigin,
      declared: {
        purpose_sha256: createHash('sha256').update(intent.purpose).digest('hex'),
        origin_kind: 'user',
      },
    })
    expect(JSON.stringify(claims)).not.toContain('admin')
  })

  test('of a sub-agent names those before it, and the purpose that it acts for', async () => {
    const purpose = 'Summarise'
    const root = {
      identity: 'ci:root',
      authMethod: 'ci',
      claims: {},
      intent: { type: 'agent_intent', purpose } as const,
      createdAt: NOW,
    }
    const lineage = { ancestors: ['ses_1'], actors: [root], limits: {} }
    const { claims } = await issuer().issue(facts({ lineage }))
    expect(claims).toMatchObject({
      rctx: { agents: ['ci:root'] },
      tctx: {
        declared: { purpose_sha256: createHash('sha256').update(purpose).digest('hex') },
      },
    })
  })

  test('names its purpose in `scope`: without one there is none', async () => {
    expect(await issuer().refusal(facts({ scope: null }))).toBe('malformed_request missing')
  })
})

describe('scope of a transaction token', () => {
  const grants = [{ effects: ['read'], objects: ['**'] }] as const

  test.each([
    ['a word that is unknown', [{ effect: 'read', object: 'payroll.read' }]],
    ['a known and an unknown word', [...scope, { effect: 'read', object: 'payroll.read' }]],
    ['a word with another effect', [{ effect: 'read', object: 'orders.refund' }]],
    ['a word that is not granted', [...scope, { effect: 'write', object: 'orders.refund' }]],
    ['an effect that nothing has', [...scope, { effect: 'admin', object: null }]],
    ['a pattern', [...scope, { effect: 'read', object: 'orders.*' }]],
  ] as const)('scope escalation: %s is refused as a whole', async (_, asked) => {
    const refused = await issuer().refusal(facts({ grants, scope: asked }))
    expect(refused).toBe('invalid_scope nothing_left')
  })

  test('an effect alone asks for all of its words', async () => {
    const every = [{ effects: EFFECTS, objects: ['**'] }] as const
    const asked = [{ effect: 'read', object: null }] as const
    const narrowed = [{ effects: ['read'], objects: ['**'] }] as const
    expect(await issuer().refusal(facts({ grants: every, scope: asked }))).toBe('planned')
    const { claims } = await issuer().issue(facts({ grants: narrowed, scope: asked }))
    expect(claims['scope']).toBe('orders.read')
  })

  test('property: what is in it was granted, and all that was asked for is in it', async () => {
    const object = fc.constantFrom('orders.read', 'orders.refund', 'payroll.read')
    const item = fc.record({ effect: fc.constantFrom(...EFFECTS), object: fc.option(object) })
    const grant = fc.record({
      effects: fc.uniqueArray(fc.constantFrom(...EFFECTS), { maxLength: 3 }),
      objects: fc.array(fc.oneof(object, fc.constant('**')), { maxLength: 2 }),
    })
    const asked = fc.array(item, { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(fc.array(grant, { maxLength: 3 }), asked, async (held, wanted) => {
        const planned = await issuer().plan(facts({ grants: held, scope: wanted }))
        if (!planned.ok) return
        const { objects } = planned.value.action
        const effectOf = new Map<string, string>(Object.entries(CONFIG.scopes))
        for (const word of objects) {
          const isGranted = held.some(
            ({ effects, objects: patterns }) =>
              effects.some((one) => one === effectOf.get(word)) &&
              patterns.some((pattern) => pattern === '**' || pattern === word),
          )
          expect(isGranted).toBe(true)
        }
        for (const { effect, object: word } of wanted) {
          const isCarried = objects.some((one) =>
            word === null ? effectOf.get(one) === effect : word === one,
          )
          expect(isCarried).toBe(true)
        }
      }),
    )
  })
})

describe('a target of type txn-token', () => {
  test.each(['prod.example', 'https://prod.example', 'spiffe://prod.example', 'orders'])(
    'takes %s as its trust domain',
    (audience) => {
      expect(mistakes({ audience })).toEqual([])
    },
  )

  test.each([
    ['a trust domain with a space', { audience: 'a b' }, '/config/audience format'],
    ['an empty trust domain', { audience: '' }, '/config/audience format'],
    [
      'a life over five minutes',
      { max_lifetime_seconds: 301 },
      '/config/max_lifetime_seconds range',
    ],
    ['a client', { client_id: 'x' }, '/config/client_id unknown_member'],
    ['no scopes', { scopes: {} }, '/config/scopes range'],
  ])('refuses %s', (_, config, mistake) => {
    expect(mistakes(config)).toEqual([mistake])
  })

  test.each([
    'sts.amazonaws.com',
    'STS.amazonaws.com',
    'https://sts.amazonaws.com/',
    'api://AzureADTokenExchange',
    '//iam.googleapis.com/projects/1',
    BROKER,
    'HTTPS://BROKER.EXAMPLE/t/crm',
    `${BROKER}/federation`,
    'http://broker.example',
  ])(
    'refuses %s as its trust domain: a cloud or this broker would take the token for more',
    (audience) => {
      expect(mistakes({ audience })).toEqual(['/config/audience unsafe'])
    },
  )
})
