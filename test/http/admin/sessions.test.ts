import { describe, expect, test } from 'vitest'
import { authMethod } from '../../fakes/policy-objects.ts'
import { openSession } from '../../fakes/session.ts'
import { adminWorld } from './world.ts'

describe('sessions', () => {
  test('are shown with the intent exactly as declared, grants, limits, usage and state', async () => {
    const session = openSession()
    const { send } = adminWorld({ sessions: [session] })
    const { body } = await send('GET', '/sessions/ses_1', { role: 'viewer' })
    expect(body).toMatchObject({
      id: 'ses_1',
      state: 'active',
      identity: 'prod:agent-7',
      intent: session.intent,
      grants: [{ target: 'crm', intent_policies: ['default'], on_review: 'approval' }],
      limits: { actions: 5 },
      usage: { actions: 1, writes: 0, rows: 0, bytes: 10 },
      expires_at: '2027-01-15T08:05:00.000Z',
      claims: { team: 'support' },
    })
    const list = await send('GET', '/sessions', { role: 'viewer' })
    expect(list.body['items']).toHaveLength(1)
    expect(list.text).not.toContain('claims')
  })

  test('are listed by each filter', async () => {
    const { send, sessions } = adminWorld({ sessions: [openSession()] })
    await send(
      'GET',
      '/sessions?method=prod&identity=prod:agent-7&target=crm&binding=b&agent=a&state=active',
    )
    expect(sessions.filters).toEqual([
      {
        authMethod: 'prod',
        identity: 'prod:agent-7',
        target: 'crm',
        binding: 'b',
        agent: 'a',
        state: 'active',
      },
    ])
  })

  test('that have run out are shown as ended', async () => {
    const { send, clock } = adminWorld({ sessions: [openSession()] })
    clock.advance(300)
    expect((await send('GET', '/sessions/ses_1')).body).toMatchObject({ state: 'ended' })
  })

  test('are revoked one by one, with an event in their own chain; again is no mistake', async () => {
    const { send, sessions } = adminWorld({ sessions: [openSession()] })
    const revoked = await send('POST', '/sessions/ses_1/revoke', {
      role: 'editor',
      body: { reason: 'leaked' },
    })
    expect(revoked.body).toEqual({
      id: 'ses_1',
      state: 'ended',
      revoked: 1,
      credentials: [],
    })
    expect(sessions.events).toMatchObject([
      {
        type: 'revocation',
        session_id: 'ses_1',
        identity: 'admin:prod:op',
        action: { reason: 'leaked' },
      },
    ])
    expect((await send('POST', '/sessions/ses_1/revoke')).body).toMatchObject({ revoked: 0 })
    expect((await send('POST', '/sessions/ses_2/revoke')).status).toBe(404)
  })

  test('are revoked by what they have in common: all that is given must match', async () => {
    const all = [
      openSession(),
      openSession({ id: 'ses_2', identity: 'prod:agent-8' }),
      openSession({ id: 'ses_3', authMethod: 'other', identity: 'other:agent-7' }),
    ]
    const { send } = adminWorld({ sessions: all })
    const revoke = async (body: object) => (await send('POST', '/sessions/revoke', { body })).body
    expect(await revoke({ method: 'prod', identity: 'other:agent-7' })).toEqual({ revoked: 0 })
    expect(await revoke({ identity: 'prod:agent-8' })).toEqual({ revoked: 1 })
    expect(await revoke({ agent: 'support-bot', target: 'crm', binding: 'support-crm' })).toEqual({
      revoked: 2,
    })
  })

  test('of an issuer are those of every method that believes it, disabled ones too', async () => {
    const spiffe = authMethod({
      name: 'mesh',
      config: { trust_domain: 'prod.example', audiences: ['a'] },
    })
    const { send, sessions } = adminWorld({
      document: {
        auth_methods: [
          authMethod(),
          authMethod({ name: 'off', enabled: false }),
          authMethod({ name: 'other', config: { issuer: 'https://oidc.example/x' } }),
          spiffe,
        ],
      },
      sessions: [
        openSession(),
        openSession({ id: 'ses_2', authMethod: 'off' }),
        openSession({ id: 'ses_3', authMethod: 'other' }),
        openSession({ id: 'ses_4', authMethod: 'mesh' }),
      ],
    })
    const revoke = async (body: object) => (await send('POST', '/sessions/revoke', { body })).body
    expect(await revoke({ issuer: 'https://oidc.example' })).toEqual({ revoked: 2 })
    expect(sessions.events.map(({ id }) => id)).toHaveLength(
      new Set(sessions.events.map(({ id }) => id)).size,
    )
    expect(await revoke({ issuer: 'spiffe://prod.example' })).toEqual({ revoked: 1 })
    expect(await revoke({ issuer: 'https://nobody.example' })).toEqual({ revoked: 0 })
    expect(await revoke({ issuer: 'https://oidc.example/x', method: 'prod' })).toEqual({
      revoked: 0,
    })
  })

  test.each([[{}], [{ reason: 'x' }], [{ metod: 'prod' }], [{ method: '' }], [{ method: null }]])(
    'are not revoked by %j: all of them is the kill switch',
    async (body) => {
      const { send, sessions } = adminWorld({ sessions: [openSession()] })
      expect((await send('POST', '/sessions/revoke', { body })).status).toBe(422)
      expect(sessions.events).toEqual([])
    },
  )
})

describe('the kill switch', () => {
  test('is a revision of the policy, with its reason in the log', async () => {
    const { send, policies, changes } = adminWorld()
    expect((await send('GET', '/kill-switch', { role: 'viewer' })).body).toEqual({
      engaged: false,
      policy_revision: 1,
    })
    const engaged = await send('PUT', '/kill-switch', {
      body: { engaged: true, reason: 'incident 7' },
    })
    expect(engaged.body).toEqual({ engaged: true, policy_revision: 2 })
    expect((await send('GET', '/kill-switch')).body).toMatchObject({ engaged: true })
    expect(policies.events).toMatchObject([
      {
        type: 'admin',
        action: { operation: 'kill-switch.put', engaged: true, reason: 'incident 7' },
      },
    ])
    expect(changes()).toBe(1)
  })

  test.each([
    [{}],
    [{ engaged: 'true', reason: 'x' }],
    [{ engaged: true }],
    [{ engaged: true, reason: '' }],
  ])('is not moved by %j', async (body) => {
    const { send, policies } = adminWorld()
    expect((await send('PUT', '/kill-switch', { body })).status).toBe(422)
    expect(policies.revision).toBe(1)
  })
})
