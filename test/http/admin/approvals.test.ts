import { describe, expect, test } from 'vitest'
import { openSession } from '../../fakes/session.ts'
import { adminWorld } from './world.ts'

const PENDING = {
  id: 'apr_1',
  url: 'https://broker.example/admin/v1/approvals/apr_1',
  expiresAt: 1_800_000_600,
  state: 'pending',
  actionHash: 'cd'.repeat(32),
  sessionId: 'ses_1',
  subject: { purpose: 'Refund' },
} as const

describe('approvals', () => {
  test('show the action, and are decided once, with an event in the chain of their session', async () => {
    const { send, approvals } = adminWorld({ approvals: [PENDING], sessions: [openSession()] })
    const got = await send('GET', '/approvals/apr_1', { role: 'approver' })
    expect(got.body).toMatchObject({
      state: 'pending',
      subject: { purpose: 'Refund' },
      session_id: 'ses_1',
    })
    const approved = await send('POST', '/approvals/apr_1/approve', {
      role: 'approver',
      body: { reason: 'ok' },
    })
    expect(approved.body).toMatchObject({ id: 'apr_1', state: 'approved' })
    expect(approvals.events).toMatchObject([
      {
        type: 'admin',
        session_id: 'ses_1',
        identity: 'admin:prod:op',
        action: { operation: 'approval.approved', reason: 'ok' },
      },
    ])
    const denied = await send('POST', '/approvals/apr_1/deny', { role: 'approver' })
    expect(denied.status).toBe(409)
    expect(denied.body).toMatchObject({ reason: 'already_approved' })
    expect(approvals.events).toHaveLength(1)
  })

  test('that have run out are not decided', async () => {
    const { send, clock } = adminWorld({ approvals: [PENDING] })
    clock.advance(600)
    expect((await send('GET', '/approvals')).body['items']).toMatchObject([{ state: 'expired' }])
    const late = await send('POST', '/approvals/apr_1/approve')
    expect(late.status).toBe(409)
    expect(late.body).toMatchObject({ reason: 'expired' })
  })

  test('are not given by who asked for them, whatever role they hold', async () => {
    const { send } = adminWorld({
      approvals: [
        PENDING,
        { ...PENDING, id: 'apr_2', sessionId: null, subject: { identity: 'prod:agent-7' } },
      ],
      sessions: [openSession()],
    })
    for (const id of ['apr_1', 'apr_2'])
      for (const role of ['approver@prod:agent-7', 'admin@prod:agent-7'])
        expect((await send('POST', `/approvals/${id}/approve`, { role })).status).toBe(403)
    expect(
      (await send('POST', '/approvals/apr_1/deny', { role: 'approver@prod:agent-7' })).status,
    ).toBe(200)
  })

  test.each(['apr_9', 'apr_1%00', '..', 'apr_'])('that do not exist are 404: %s', async (id) => {
    const { send } = adminWorld({ approvals: [PENDING] })
    expect((await send('POST', `/approvals/${id}/approve`)).status).toBe(404)
  })
})
