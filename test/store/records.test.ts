// The store of the two paths, one suite over the embedded file, libSQL over HTTP and D1.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SingleUse } from '../../functions/core/proof.ts'
import type { Driver } from '../../functions/store/driver.ts'
import type { Stores } from '../../functions/store/index.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'
import {
  actionOf,
  bindingOf,
  decisionOf,
  eventOf,
  freshId,
  grantOf,
  NOW,
  openSession,
  outcomeOf,
  reviewOf,
  sessionOf,
  storesOn,
  opening,
} from './values.ts'

describe.each(STORE_KINDS)('records on %s', (kind) => {
  let opened: Opened
  let driver: Driver
  let stores: Stores
  let revision: number

  beforeAll(async () => {
    opened = await openStore(kind)
    driver = opened.connect()
    stores = storesOn(driver)
    await stores.migrate()
    const written = await stores.policy.write({
      changes: [
        { op: 'put', kind: 'bindings', object: bindingOf() },
        {
          op: 'put',
          kind: 'bindings',
          object: bindingOf({ name: 'off', target: 'erp', enabled: false }),
        },
        {
          op: 'put',
          kind: 'bindings',
          object: bindingOf({ name: 'other', auth_method: 'k8s', target: 'erp' }),
        },
      ],
      expectedRevision: 1,
      event: eventOf('admin'),
    })
    if (written === null) throw new Error('the policy was not written')
    revision = written
  })
  afterAll(() => opened.close())

  const open = (facts = {}) => openSession(stores, { policyRevision: revision, ...facts })
  const decide = (facts = {}) => {
    const id = freshId('ses')
    return decisionOf(id, { expectedRevision: revision, ...facts })
  }
  const eventsOf = async (session: string) =>
    (await stores.audit.list({ session, cursor: null, limit: 1000 })).items
  const types = async (session: string) => (await eventsOf(session)).map(({ type }) => type)

  test('an exchange reads the enabled bindings of exactly its method and targets', async () => {
    const read = await stores.records.readExchange({
      method: 'ci',
      targets: ['crm', 'erp'],
      approvalHash: null,
    })
    expect(read).toMatchObject({ revision, killed: false, approval: null })
    expect(read.bindings.map(({ name }) => name).sort()).toEqual(['ci-crm'])
    expect(read.bindings.find(({ name }) => name === 'ci-crm')).toEqual(bindingOf())
  })

  test('an exchange for a handle is one read and one write, an action one read and two writes', async () => {
    const before = { ...driver.counters }
    await stores.records.readExchange({ method: 'ci', targets: ['crm'], approvalHash: 'h' })
    const session = sessionOf({ policyRevision: revision })
    const singleUse = [{ key: freshId('jti'), expiresAt: NOW + 60 }]
    await stores.records.recordDecision(
      decisionOf(session.id, { expectedRevision: revision, singleUse, opens: opening(session) }),
    )
    expect(driver.counters.reads - before.reads).toBe(1)
    expect(driver.counters.writes - before.writes).toBe(1)

    await stores.records.readAction({
      sessionId: session.id,
      target: 'crm',
      withHistory: true,
      withApprovals: true,
    })
    await stores.records.recordAction(actionOf(session))
    await stores.records.recordOutcome(outcomeOf(session.id))
    expect(driver.counters.reads - before.reads).toBe(2)
    expect(driver.counters.writes - before.writes).toBe(3)
  })

  test('an isolate that did not open the session needs no further round trip to act in it', async () => {
    const session = await open()
    const otherDriver = opened.connect()
    const other = storesOn(otherDriver)
    await other.records.readAction({
      sessionId: session.id,
      target: 'crm',
      withHistory: true,
      withApprovals: true,
    })
    expect((await other.records.recordAction(actionOf(session))).kind).toBe('recorded')
    expect(otherDriver.counters).toMatchObject({ reads: 1, writes: 1 })
  })

  test('a session is read back as it was granted, whatever its strings hold', async () => {
    const odd = 'nul\u0000 "quote" \u2028 \ud83d\ude00 é'
    const granted = await open({ subject: odd, identity: `ci:${odd}`, claims: { odd, n: 1.5 } })
    expect(await stores.records.readSession(granted.id)).toEqual({
      ...granted,
      change: null,
      ownState: granted.state,
    })
    const read = await stores.records.readAction({
      sessionId: granted.id,
      target: 'crm',
      withHistory: true,
      withApprovals: true,
    })
    expect(read).toMatchObject({ revision, killed: false, bindings: null })
    expect(read.session).toEqual(granted)
    expect(read.approvals).toEqual([])
  })

  test('an unknown session reads as none', async () => {
    const read = await stores.records.readAction({
      sessionId: 'ses_none',
      target: 'crm',
      withHistory: true,
      withApprovals: true,
    })
    expect(read.session).toBeNull()
    expect(read.bindings).toBeNull()
  })

  test('bindings come with an action only when the policy changed since the session opened', async () => {
    const stale = await open({ policyRevision: revision - 1 })
    const read = await stores.records.readAction({
      sessionId: stale.id,
      target: 'crm',
      withHistory: true,
      withApprovals: true,
    })
    expect(read.bindings).toEqual([bindingOf()])
    expect(
      (
        await stores.records.readAction({
          sessionId: stale.id,
          target: 'erp',
          withHistory: true,
          withApprovals: true,
        })
      ).bindings,
    ).toEqual([])
  })

  test('RACE-5 a decision on a policy that has changed since is not recorded', async () => {
    const key = freshId('jti')
    const singleUse = [{ key, expiresAt: NOW + 60 }]
    const stale = decide({ singleUse, expectedRevision: revision - 1 })
    expect(await stores.records.recordDecision(stale)).toBe('policy_changed')
    expect(await types(stale.sessionId)).toEqual([])
    expect(await stores.records.recordDecision(decide({ singleUse }))).toBe('recorded')
  })

  test('single-use keys are consumed together or not at all', async () => {
    const [a, b, c] = [freshId('jti'), freshId('jti'), freshId('jti')]
    const use = (...keys: string[]) => ({
      singleUse: keys.map((key) => ({ key, expiresAt: NOW + 60 })),
    })
    expect(await stores.records.recordDecision(decide(use(a, b, a)))).toBe('recorded')
    const replay = decide(use(c, b))
    expect(await stores.records.recordDecision(replay)).toBe('replayed')
    const proof = { key: freshId('dpop'), expiresAt: NOW + 60, isProof: true as const }
    const attestation = { key: b, expiresAt: NOW + 60 }
    const with_ = (singleUse: readonly SingleUse[]) =>
      stores.records.recordDecision(decide({ singleUse }))
    expect(await with_([proof])).toBe('recorded')
    expect(await with_([proof])).toBe('proof_replayed')
    const fresh = { key: freshId('jti'), expiresAt: NOW + 60 }
    expect(await with_([fresh, proof])).toBe('proof_replayed')
    expect(await with_([attestation, proof])).toBe('replayed')
    expect(await with_([fresh])).toBe('recorded')
    expect(await types(replay.sessionId)).toEqual([])
    expect(await stores.records.recordDecision(decide(use(c)))).toBe('recorded')
  })

  test('RACE-1 of 200 parallel uses of one key by three isolates exactly one is recorded', async () => {
    const isolates = [1, 2, 3].map(() => storesOn(opened.connect()))
    const singleUse = [{ key: freshId('jti'), expiresAt: NOW + 60 }]
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        isolates[n % 3]?.records.recordDecision(decide({ singleUse })),
      ),
    )
    expect(results.filter((result) => result === 'recorded')).toHaveLength(1)
    expect(results.filter((result) => result === 'replayed')).toHaveLength(199)
  })

  test('ending a session is said once', async () => {
    const session = await open()
    const end = () =>
      stores.records.endSession(session.id, eventOf('revocation', { session_id: session.id }))
    expect(await end()).toBe(true)
    expect(await end()).toBe(false)
    expect(await stores.records.endSession('ses_none', eventOf('revocation'))).toBe(false)
    expect(await types(session.id)).toEqual(['decision', 'grant', 'revocation'])
    expect((await stores.records.readSession(session.id))?.state).toBe('ended')
  })

  test('a refusal without a session has a chain of its own', async () => {
    const refusal = eventOf('refusal')
    await stores.records.recordRefusal(refusal)
    const { items } = await stores.audit.list({
      decision: refusal.decision_id,
      cursor: null,
      limit: 10,
    })
    expect(items).toHaveLength(1)
    expect(items[0]).toMatchObject({ chain: refusal.decision_id, chain_seq: 1, prev_hash: null })
  })

  test('an approval of an action is used once, by its session, and only while it stands', async () => {
    const session = await open()
    const other = await open()
    const id = freshId('apr')
    await stores.records.recordReview(reviewOf(id, session.id, NOW + 60))
    const [listed] = (
      await stores.records.readAction({
        sessionId: session.id,
        target: 'crm',
        withHistory: true,
        withApprovals: true,
      })
    ).approvals
    expect(listed).toEqual({
      id,
      url: `https://broker.example/admin/v1/approvals/${id}`,
      expiresAt: NOW + 60,
      state: 'pending',
      actionHash: `hash-of-${id}`,
      sessionId: session.id,
    })
    const act = (of = session, nowSeconds = NOW) =>
      stores.records.recordAction(actionOf(of, { approvalId: id, nowSeconds }))
    expect(await act()).toEqual({ kind: 'approval_used' })
    await stores.approvals.decide(id, 'approved', NOW, eventOf('admin', { session_id: session.id }))
    expect(await act(other)).toEqual({ kind: 'approval_used' })
    expect(await act(session, NOW + 60)).toEqual({ kind: 'approval_used' })
    const parallel = await Promise.all([act(), act(), act()])
    expect(parallel.filter(({ kind: result }) => result === 'recorded')).toHaveLength(1)
    expect(await types(session.id)).toEqual(['decision', 'grant', 'refusal', 'admin', 'action'])
  })

  test('an approval of an exchange is found by its hash and used once', async () => {
    const id = freshId('apr')
    await stores.records.recordReview(reviewOf(id, null, NOW + 60))
    const decision = () => decide({ approvalId: id })
    expect(await stores.records.recordDecision(decision())).toBe('approval_used')
    await stores.approvals.decide(id, 'approved', NOW, eventOf('admin'))
    const query = { method: 'ci', targets: ['crm'], approvalHash: `hash-of-${id}` }
    expect((await stores.records.readExchange(query)).approval).toMatchObject({
      id,
      state: 'approved',
      sessionId: null,
    })
    expect(await stores.records.recordDecision(decision())).toBe('recorded')
    expect(await stores.records.recordDecision(decision())).toBe('approval_used')
    expect((await stores.records.readExchange(query)).approval?.state).toBe('used')
  })

  test('evaluators see the latest actions and refusals of the session, oldest first', async () => {
    const session = await open()
    for (let n = 1; n <= 25; n += 1) {
      const event = eventOf(n % 2 === 0 ? 'action' : 'refusal', {
        session_id: session.id,
        action: { name: 'http.request', n },
        outcome: { verdict: n % 2 === 0 ? 'allow' : 'deny' },
      })
      await stores.records.recordRefusal(event)
    }
    const { history } = await stores.records.readAction({
      sessionId: session.id,
      target: 'crm',
      withHistory: true,
      withApprovals: true,
    })
    expect(history.map(({ action }) => action['n'])).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 6),
    )
    expect(history.at(-1)).toEqual({ action: { name: 'http.request', n: 25 }, verdict: 'deny' })
  })

  test('the grant of a handle is recorded with its decision, or neither is', async () => {
    const granted = sessionOf({ policyRevision: revision })
    const opens = opening(granted)
    const stale = decisionOf(granted.id, { expectedRevision: revision - 1, opens })
    expect(await stores.records.recordDecision(stale)).toBe('policy_changed')
    await driver.write([
      {
        sql: `CREATE TRIGGER fault BEFORE INSERT ON audit_event WHEN NEW.type = 'grant'
          BEGIN SELECT RAISE(ABORT, 'injected'); END`,
        args: [],
      },
    ])
    const decided = () => stores.records.recordDecision(decide({ sessionId: granted.id, opens }))
    await expect(decided()).rejects.toMatchObject({ name: 'StoreUnavailable' })
    await driver.write([{ sql: 'DROP TRIGGER fault', args: [] }])
    expect(await types(granted.id)).toEqual([])
    expect(await stores.records.readSession(granted.id)).toBeNull()
    expect(await decided()).toBe('recorded')
    expect(await types(granted.id)).toEqual(['decision', 'grant'])
    expect((await stores.records.readSession(granted.id))?.id).toBe(granted.id)
  })

  test('AUD-4 a decision, grant or action whose event is refused grants and spends nothing', async () => {
    const session = await open({ limits: { actions: 5 } })
    await driver.write([
      {
        sql: `CREATE TRIGGER fault BEFORE INSERT ON audit_event WHEN NEW.draft LIKE '%marked%'
          BEGIN SELECT RAISE(ABORT, 'injected'); END`,
        args: [],
      },
    ])
    try {
      const marked = { identity: 'ci:marked' }
      const key = freshId('jti')
      const singleUse = [{ key, expiresAt: NOW + 60 }]
      const decision = decide({ singleUse, event: eventOf('decision', marked) })
      const granted = sessionOf({ policyRevision: revision })
      const grant = {
        event: eventOf('grant', marked),
        session: granted,
        credential: {
          sha256: freshId('jti'),
          target: 'crm',
          expiresAt: NOW + 60,
          record: {},
          effects: [],
        },
      }
      const opens = { event: eventOf('grant', marked), session: granted }
      const action = actionOf(session, { event: eventOf('action', marked) })
      const failed = await Promise.allSettled([
        stores.records.recordDecision(decision),
        stores.records.recordDecision(decide({ singleUse, opens })),
        stores.records.recordGrant(grant),
        stores.records.recordAction(action),
      ])
      for (const result of failed)
        expect(result).toMatchObject({ reason: { name: 'StoreUnavailable' } })
      expect(await stores.records.readSession(granted.id)).toBeNull()
      expect((await stores.records.readSession(session.id))?.usage.actions).toBe(0)
      // The key was not consumed either, and others go on as if nothing had happened.
      expect(await stores.records.recordDecision(decide({ singleUse }))).toBe('recorded')
      expect((await stores.records.recordAction(actionOf(session))).kind).toBe('recorded')
    } finally {
      await driver.write([{ sql: 'DROP TRIGGER fault', args: [] }])
    }
  })

  test('an audit event can be neither changed, deleted nor replaced', async () => {
    const session = await open()
    const [first] = await eventsOf(session.id)
    const attempts = [
      `UPDATE audit_event SET draft = '{}' WHERE chain = ?1`,
      `DELETE FROM audit_event WHERE chain = ?1`,
      `INSERT OR REPLACE INTO audit_event (id, chain, chain_seq, type, decision_id, hash, draft)
        SELECT 'x', chain, chain_seq, type, decision_id, 'x', '{}' FROM audit_event WHERE chain = ?1`,
      `INSERT OR REPLACE INTO audit_event (id, chain, chain_seq, type, decision_id, hash, draft)
        SELECT id, 'x', 1, type, decision_id, 'x', '{}' FROM audit_event WHERE chain = ?1 LIMIT 1`,
      `INSERT OR REPLACE INTO audit_event (seq, id, chain, chain_seq, type, decision_id, hash, draft)
        SELECT seq, 'x', 'x', 1, type, decision_id, 'x', '{}' FROM audit_event WHERE chain = ?1 LIMIT 1`,
    ]
    for (const sql of attempts)
      await expect(driver.write([{ sql, args: [session.id] }])).rejects.toThrow()
    expect((await eventsOf(session.id))[0]).toEqual(first)
  })

  test('a multi-target session is found by each of its targets and bindings', async () => {
    const grants = [grantOf('crm', ['b1', 'b2']), grantOf('erp', [])]
    const identity = freshId('ci')
    const session = await open({ identity, grants })
    const found = async (filter: object) =>
      (await stores.sessions.list({ identity, ...filter }, { cursor: null, limit: 5 })).items.length
    expect(await found({ target: 'crm' })).toBe(1)
    expect(await found({ target: 'erp', binding: 'b2' })).toBe(1)
    expect(await found({ binding: 'b3' })).toBe(0)
    expect((await stores.sessions.get(session.id))?.grants).toEqual(grants)
  })
})
