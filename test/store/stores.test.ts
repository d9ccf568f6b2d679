// Policy, secrets, keys, sessions, approvals and audit, one suite over the embedded file, libSQL over HTTP
// and D1.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PolicyChange } from '../../functions/store/contract.ts'
import type { Driver } from '../../functions/store/driver.ts'
import type { Stores } from '../../functions/store/index.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'
import {
  bindingOf,
  decisionOf,
  eventOf,
  freshId,
  grantOf,
  NOW,
  openSession,
  storesOn,
} from './values.ts'

const FIRST = { cursor: null, limit: 100 }
const method = { name: 'ci', enabled: true, type: 'oidc', subject: 'workload', config: {} } as const
const target = { name: 'crm', enabled: true, type: 'http', config: { base_url: 'https://x' } }
const intent = { name: 'default', enabled: false, rules: [] }

describe.each(STORE_KINDS)('stores on %s', (kind) => {
  let opened: Opened
  let driver: Driver
  let stores: Stores

  beforeAll(async () => {
    opened = await openStore(kind)
    driver = opened.connect()
    stores = storesOn(driver)
    await stores.migrate()
  })
  afterAll(() => opened.close())

  const change = async (changes: readonly PolicyChange[], at = stores) => {
    const expectedRevision = await at.policy.readRevision()
    return at.policy.write({ changes, expectedRevision, event: eventOf('admin') })
  }
  const adminEvents = async () =>
    (await stores.audit.list({ session: 'admin', cursor: null, limit: 1000 })).items.length

  test('a policy document is read back as it was written, disabled objects included', async () => {
    const revision = await change([
      { op: 'put', kind: 'auth_methods', object: method },
      { op: 'put', kind: 'targets', object: target },
      { op: 'put', kind: 'bindings', object: bindingOf() },
      { op: 'put', kind: 'intent_policies', object: intent },
    ])
    const rest = { auth_methods: [method], targets: [target], intent_policies: [intent] }
    expect(await stores.policy.readSnapshot()).toEqual({ revision, document: rest })
    expect(await stores.policy.readDocument()).toEqual({
      revision,
      document: { ...rest, bindings: [bindingOf()] },
    })
  })

  test('each object carries the revision that wrote it, and when', async () => {
    const created = await change([{ op: 'put', kind: 'targets', object: { ...target, name: 'a' } }])
    const later = storesOn(driver, NOW + 50)
    const updated = await change(
      [{ op: 'put', kind: 'targets', object: { ...target, name: 'a', enabled: false } }],
      later,
    )
    expect(updated).toBe((created ?? 0) + 1)
    expect(await stores.policy.get('targets', 'a')).toEqual({
      object: { ...target, name: 'a', enabled: false },
      etag: String(updated),
      createdAt: NOW,
      updatedAt: NOW + 50,
    })
    expect(await stores.policy.get('bindings', 'none')).toBeNull()
    expect(await stores.policy.get('auth_methods', 'a')).toBeNull()
  })

  test('a write that was planned on another revision writes nothing, not even its event', async () => {
    const events = await adminEvents()
    const revision = await stores.policy.readRevision()
    const write = await stores.policy.write({
      changes: [{ op: 'delete', kind: 'targets', name: 'crm' }],
      expectedRevision: revision - 1,
      event: eventOf('admin'),
    })
    expect(write).toBeNull()
    expect(await stores.policy.readRevision()).toBe(revision)
    expect(await stores.policy.get('targets', 'crm')).not.toBeNull()
    expect(await adminEvents()).toBe(events)
  })

  test('of parallel writes on one revision one is taken', async () => {
    const isolates = [1, 2, 3].map(() => storesOn(opened.connect()))
    const expectedRevision = await stores.policy.readRevision()
    const results = await Promise.all(
      isolates.map(({ policy }, n) =>
        policy.write({
          changes: [{ op: 'put', kind: 'targets', object: { ...target, name: `race-${n}` } }],
          expectedRevision,
          event: eventOf('admin'),
        }),
      ),
    )
    expect(results.filter((revision) => revision === expectedRevision + 1)).toHaveLength(1)
    expect(results.filter((revision) => revision === null)).toHaveLength(2)
    const { document } = await stores.policy.readSnapshot()
    expect(document.targets.filter(({ name }) => name.startsWith('race-'))).toHaveLength(1)
  })

  test('the last change of a name in one write is the one that counts', async () => {
    await change([
      { op: 'put', kind: 'bindings', object: bindingOf({ name: 'x' }) },
      { op: 'delete', kind: 'bindings', name: 'x' },
      { op: 'delete', kind: 'bindings', name: 'y' },
      { op: 'put', kind: 'bindings', object: bindingOf({ name: 'y', target: 'erp' }) },
    ])
    expect(await stores.policy.get('bindings', 'x')).toBeNull()
    expect((await stores.policy.get('bindings', 'y'))?.object).toMatchObject({ target: 'erp' })
  })

  test('POL-7 names are compared byte by byte', async () => {
    const names = ['case', 'Case', 'case ', 'case\u0301']
    await change(
      names.map((name) => ({ op: 'put', kind: 'targets', object: { ...target, name } }) as const),
    )
    for (const name of names)
      expect((await stores.policy.get('targets', name))?.object.name).toBe(name)
    await change([{ op: 'delete', kind: 'targets', name: 'case' }])
    expect(await stores.policy.get('targets', 'Case')).not.toBeNull()
  })

  test('a list gives every object once, whatever the page', async () => {
    const names = Array.from({ length: 7 }, (_, n) => `list-${n}`)
    await change(
      names.map(
        (name) => ({ op: 'put', kind: 'intent_policies', object: { ...intent, name } }) as const,
      ),
    )
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page = await stores.policy.list('intent_policies', { cursor, limit: 3 })
      expect(page.items.length).toBeLessThanOrEqual(3)
      seen.push(...page.items.map(({ object }) => object.name))
      cursor = page.nextCursor
    } while (cursor !== null)
    expect(seen).toEqual(['default', ...names])
  })

  test('thousands of bindings are one write, and a cursor that nobody issued begins at the start', async () => {
    const bindings = Array.from({ length: 3000 }, (_, n) =>
      bindingOf({ name: `bulk-${String(n).padStart(5, '0')}`, target: `t-${n}` }),
    )
    const before = driver.counters.writes
    await change(bindings.map((object) => ({ op: 'put', kind: 'bindings', object }) as const))
    expect(driver.counters.writes - before).toBe(1)
    const read = await stores.records.readExchange({
      method: 'ci',
      targets: ['t-2999'],
      approvalHash: null,
    })
    expect(read.bindings).toEqual([bindings[2999]])
    const [first] = (await stores.policy.list('bindings', { cursor: '%%%', limit: 1 })).items
    expect(first?.object.name).toBe('bulk-00000')
  })

  test('the kill switch is a revision of the policy, and its event is recorded', async () => {
    const revision = await stores.policy.readRevision()
    const events = await adminEvents()
    expect(await stores.policy.setKilled(true, eventOf('admin'))).toBe(revision + 1)
    const state = { revision: revision + 1, killed: true }
    expect(await stores.records.readPolicyState()).toEqual(state)
    const stale = decisionOf(freshId('ses'), { expectedRevision: revision })
    expect(await stores.records.recordDecision(stale)).toBe('policy_changed')
    await stores.policy.setKilled(false, eventOf('admin'))
    expect((await stores.records.readPolicyState()).killed).toBe(false)
    expect(await adminEvents()).toBe(events + 2)
  })

  test('a secret is put, replaced, sealed anew and deleted, each change with its event', async () => {
    const events = await adminEvents()
    const row = { name: 'crm', sealed: 'sealed-1', allowedOrigins: ['https://x'] }
    expect(await stores.secrets.put(row, NOW, eventOf('admin'))).toBe('created')
    expect(
      await stores.secrets.put({ ...row, sealed: 'sealed-2' }, NOW + 9, eventOf('admin')),
    ).toBe('replaced')
    const listed = {
      name: 'crm',
      allowedOrigins: ['https://x'],
      version: 2,
      createdAt: NOW,
      updatedAt: NOW + 9,
    }
    expect(await stores.secrets.get('crm')).toEqual({ ...listed, sealed: 'sealed-2' })
    expect((await stores.secrets.list(FIRST)).items).toEqual([listed])
    expect(await stores.secrets.reseal('crm', 'sealed-1', 'sealed-3')).toBe(false)
    expect(await stores.secrets.reseal('crm', 'sealed-2', 'sealed-3')).toBe(true)
    expect(await stores.secrets.delete('crm', eventOf('admin'))).toBe(true)
    expect(await stores.secrets.delete('crm', eventOf('admin'))).toBe(false)
    expect(await stores.secrets.get('crm')).toBeNull()
    expect(await adminEvents()).toBe(events + 3)
  })

  test('of two who replace the version of a secret that both have seen, one does', async () => {
    const row = { name: 'raced', sealed: 'sealed-1', allowedOrigins: ['https://x'] }
    const put = (sealed: string, version: number) =>
      stores.secrets.put({ ...row, sealed }, NOW, eventOf('admin'), version)
    expect(await put('sealed-1', 1)).toBe('changed')
    expect((await Promise.all([put('a', 0), put('b', 0)])).sort()).toEqual(['changed', 'created'])
    const raced = await Promise.all([put('c', 1), put('d', 1), put('e', 1)])
    expect(raced.filter((result) => result === 'replaced').length).toBe(1)
    const events = await adminEvents()
    expect(await put('f', 1)).toBe('changed')
    expect(await adminEvents()).toBe(events)
    expect((await stores.secrets.get('raced'))?.version).toBe(2)
    await stores.secrets.delete('raced', eventOf('admin'))
  })

  test('of the keys that isolates add for one slot at the same time one is kept', async () => {
    const keyOf = (kid: string, activeFrom: number) => ({
      kid,
      purpose: 'handle' as const,
      publicJwk: { kty: 'EC', kid },
      sealedPrivateJwk: `sealed-${kid}`,
      createdAt: NOW,
      activeFrom,
      retireAt: activeFrom + 100,
    })
    const isolates = [1, 2, 3].map(() => storesOn(opened.connect()))
    const added = await Promise.all(
      isolates.map(({ signingKeys }, n) => signingKeys.insert(keyOf(`k${n}`, NOW))),
    )
    expect(added.filter(Boolean)).toHaveLength(1)
    expect(await stores.signingKeys.insert(keyOf('later', NOW + 50))).toBe(true)
    const keys = await stores.signingKeys.list('handle')
    expect(keys.map(({ kid }) => kid).slice(1)).toEqual(['later'])
    expect(keys[1]).toEqual(keyOf('later', NOW + 50))
    // Purposes have slots of their own, and see nothing of each other.
    const federation = { ...keyOf('federation', NOW + 50), purpose: 'federation' as const }
    expect(await stores.signingKeys.insert(federation)).toBe(true)
    expect(await stores.signingKeys.insert({ ...federation, kid: 'late' })).toBe(false)
    expect(await stores.signingKeys.list('federation')).toEqual([federation])
    expect(await stores.signingKeys.list('handle')).toEqual(keys)
    expect(await stores.signingKeys.reseal('later', 'wrong', 'x')).toBe(false)
    expect(await stores.signingKeys.reseal('later', 'sealed-later', 'x')).toBe(true)
    expect(await stores.signingKeys.deleteRetired(NOW + 101)).toBe(1)
    expect(await stores.signingKeys.list('handle')).toHaveLength(1)
  })

  test('REV-1 every live session that matches a filter is ended by one write, and no other', async () => {
    const open = (facts: object) => openSession(stores, facts)
    const mine = await open({ identity: 'r:1', authMethod: 'r', grants: [grantOf('t1', ['b1'])] })
    const same = await open({ identity: 'r:1', authMethod: 'r', grants: [grantOf('t2', ['b2'])] })
    const other = await open({ identity: 'r:2', authMethod: 'r', grants: [grantOf('t1', ['b3'])] })
    const agent = { type: 'agent_intent', purpose: 'p', agent: { name: 'rogue' } }
    const rogue = await open({ identity: 'q:3', authMethod: 'q', intent: agent })
    const expired = await open({ identity: 'r:4', authMethod: 'r', expiresAt: NOW })
    const stateOf = async ({ id }: { id: string }) => (await stores.sessions.get(id))?.state
    const end = (filter: object) =>
      stores.sessions.endWhere(filter, eventOf('revocation', { session_id: null }))
    const before = driver.counters.writes
    expect(await end({ identity: 'r:1', target: 't1' })).toBe(1)
    expect(await Promise.all([mine, same, other].map(stateOf))).toEqual([
      'ended',
      'active',
      'active',
    ])
    expect(await end({ binding: 'b2', state: 'suspended' })).toBe(0)
    expect(await end({ binding: 'b2' })).toBe(1)
    expect(await end({ agent: 'rogue' })).toBe(1)
    expect(await end({ authMethod: 'r' })).toBe(1)
    expect(await stateOf(rogue)).toBe('ended')
    expect(await stateOf(expired)).toBe('active')
    expect(driver.counters.writes - before).toBe(5)
  })

  test('sessions are listed newest first, and by each member of the filter', async () => {
    const ids: string[] = []
    for (let n = 0; n < 5; n += 1)
      ids.unshift((await openSession(stores, { identity: 'l:1', authMethod: 'l' })).id)
    await stores.sessions.end(ids[0] ?? '', eventOf('revocation', { session_id: ids[0] ?? null }))
    const filter = { authMethod: 'l' }
    const page = await stores.sessions.list(filter, { cursor: null, limit: 3 })
    const rest = await stores.sessions.list(filter, { cursor: page.nextCursor, limit: 3 })
    expect([...page.items, ...rest.items].map(({ id }) => id)).toEqual(ids)
    expect(rest.nextCursor).toBeNull()
    const active = await stores.sessions.list({ ...filter, state: 'active' }, FIRST)
    expect(active.items.map(({ id }) => id)).toEqual(ids.slice(1))
  })

  test('RACE-3 an approval that is approved and denied at once has one end, an expired one none', async () => {
    const open = async (expiresAt: number) => {
      const id = freshId('apr')
      await stores.records.recordReview({
        event: eventOf('refusal'),
        sessionId: null,
        approval: { id, url: 'https://x', expiresAt },
        actionHash: id,
        subject: '{"purpose":"p"}',
      })
      return id
    }
    const id = await open(NOW + 60)
    const decide = (to: 'approved' | 'denied', of = id) =>
      stores.approvals.decide(of, to, NOW, eventOf('admin'))
    const results = await Promise.all([
      decide('approved'),
      decide('denied'),
      decide('approved'),
      decide('denied'),
    ])
    expect(new Set(results).size).toBe(1)
    expect(['approved', 'denied']).toContain(results[0])
    expect(await decide('approved', await open(NOW))).toBe('pending')
    expect(await decide('approved', 'apr_none')).toBeNull()
    const shown = await stores.approvals.get(id)
    expect(shown).toMatchObject({ id, state: results[0], subject: { purpose: 'p' } })
    expect((await stores.approvals.list(FIRST)).items.at(-1)).toEqual(shown)
  })

  test('the audit log is listed oldest first by session, decision and type, page by page', async () => {
    const session = await openSession(stores, {})
    const refusal = eventOf('refusal', { session_id: session.id })
    await stores.records.recordRefusal(refusal)
    const byDecision = await stores.audit.list({ decision: refusal.decision_id, ...FIRST })
    expect(byDecision.items).toHaveLength(1)
    expect(byDecision.items[0]).toMatchObject(refusal)
    const page = await stores.audit.list({ session: session.id, cursor: null, limit: 2 })
    expect(page.items.map(({ type }) => type)).toEqual(['decision', 'grant'])
    const rest = await stores.audit.list({
      session: session.id,
      cursor: page.nextCursor,
      limit: 2,
    })
    expect(rest.items.map(({ type }) => type)).toEqual(['refusal'])
    expect(rest.nextCursor).toBeNull()
    const both = await stores.audit.list({ session: session.id, type: 'grant', ...FIRST })
    expect(both.items.map(({ chain_seq }) => chain_seq)).toEqual([2])
    const all = (await stores.audit.list({ cursor: null, limit: 5 })).items.map(({ seq }) => seq)
    expect(all).toEqual(all.toSorted((a, b) => a - b))
  })

  test('what expired is removed, and the audit log is not', async () => {
    const key = freshId('jti')
    const revision = await stores.policy.readRevision()
    const use = () =>
      stores.records.recordDecision(
        decisionOf(freshId('ses'), {
          singleUse: [{ key, expiresAt: NOW + 10 }],
          expectedRevision: revision,
        }),
      )
    expect(await use()).toBe('recorded')
    const session = await openSession(stores, {
      grants: [grantOf('p1', ['pb']), grantOf('p2', [])],
    })
    const count = async () =>
      (await stores.audit.list({ cursor: null, limit: 10_000 })).items.length
    const events = await count()
    await stores.purge(NOW + 11)
    expect(await stores.sessions.get(session.id)).not.toBeNull()
    expect(await use()).toBe('recorded')
    await stores.purge(session.expiresAt + 25 * 3600)
    expect(await stores.sessions.get(session.id)).toBeNull()
    expect((await stores.sessions.list({}, FIRST)).items).toEqual([])
    const [left] = await driver.read([
      { sql: 'SELECT count(*) AS n FROM session_binding', args: [] },
    ])
    expect(left).toEqual([{ n: 0 }])
    expect(await count()).toBe(events + 1)
  })
})
