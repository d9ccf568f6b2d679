// Who may do nothing any more and still holds what was handed over: what AWS is told of, over each store.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Session } from '../../functions/core/session.ts'
import type { Stores } from '../../functions/store/index.ts'
import { openStore, STORE_KINDS } from './rig.ts'
import type { Opened } from './rig.ts'
import { decisionOf, eventOf, freshId, NOW, sessionOf, storesOn } from './values.ts'

const TARGET = 'lake'

describe.each(STORE_KINDS)('ended holders on %s', (kind) => {
  let opened: Opened
  let stores: Stores
  beforeAll(async () => {
    opened = await openStore(kind)
    stores = storesOn(opened.connect())
    await stores.migrate()
  })
  afterAll(() => opened.close())

  /** A session that holds one credential of `target` for so long. */
  async function open(facts: Partial<Session> = {}, target = TARGET, seconds = 600) {
    const grant = sessionOf().grants[0]
    if (grant === undefined) throw new Error('a session is granted something')
    const session = sessionOf({ grants: [{ ...grant, target }], ...facts })
    await stores.records.recordDecision(decisionOf(session.id, { expectedRevision: 1 }))
    await stores.records.recordGrant({
      event: eventOf('grant'),
      session,
      credential: {
        sha256: freshId('jti'),
        target,
        expiresAt: NOW + seconds,
        record: {},
        effects: ['read'],
      },
    })
    return session.id
  }
  const below = (root: string): Partial<Session> => ({
    lineage: { ancestors: [root], actors: [], limits: {} },
  })
  const end = (id: string) => stores.sessions.end(id, eventOf('revocation'))
  const suspend = (id: string) => stores.sessions.tighten(id, { to: 'suspended' }, eventOf('state'))
  const idsOf = async (target = TARGET) => {
    const { sessions } = await stores.records.readEndedHolders(target)
    return sessions.map(({ sessionId }) => sessionId)
  }

  test('SC-10: those that ended or are suspended, by themselves or with one above, and nobody else', async () => {
    const [live, ended, suspended, root, elsewhere, short] = await Promise.all([
      open(),
      open(),
      open(),
      open(),
      open({}, 'other'),
      open({}, TARGET, -1),
    ])
    const child = await open(below(root))
    expect(await idsOf()).toEqual([])
    for (const id of [ended, elsewhere, short]) await end(id)
    await suspend(suspended)
    expect(await idsOf()).toEqual([ended, suspended].toSorted())
    await suspend(root)
    expect(await idsOf()).toEqual([ended, suspended, root, child].toSorted())
    const { sessions, everything } = await stores.records.readEndedHolders(TARGET)
    expect(everything).toBe(false)
    expect(sessions).toContainEqual({ sessionId: child, expiresAt: NOW + 600, heldAs: [] })
    expect(await idsOf('other')).toEqual([elsewhere])
    await stores.policy.setKilled(true, eventOf('admin'))
    expect(await stores.records.readEndedHolders(TARGET)).toMatchObject({ everything: true })
    expect(await idsOf()).toEqual([live, ended, suspended, root, child].toSorted())
    await stores.policy.setKilled(false, eventOf('admin'))
    expect(await idsOf()).not.toContain(live)
  })
})
