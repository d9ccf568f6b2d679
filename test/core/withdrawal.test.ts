// What follows when sessions end that have handed credentials over: what others are told, what the log says,
// and that two isolates at work at once never leave an ended session out.
import { describe, expect, test } from 'vitest'
import type { EventDraft } from '../../functions/core/audit.ts'
import { StoreUnavailable } from '../../functions/core/records.ts'
import { fail, ok } from '../../functions/core/result.ts'
import type { Denied, EndedSession, Enforced, Withdrawal } from '../../functions/core/withdrawal.ts'
import { withdraw, type WithdrawalDeps } from '../../functions/core/withdrawal.ts'
import { randomIds, sha256Hashing } from '../../functions/platforms/system.ts'
import { manualClock } from '../fakes/manual-clock.ts'

const NOW = 1_800_000_000
const CAUSE = { decisionId: 'dec_1', sessionId: 'ses_1' }
const BULK = { decisionId: 'dec_1', sessionId: null }
const ended = (id: string, seconds = 600): EndedSession => ({
  sessionId: id,
  expiresAt: NOW + seconds,
})
const at = (seconds: number) => new Date((NOW + seconds) * 1000).toISOString().replace('.000', '')

function world(sessions: EndedSession[] = [ended('ses_1')]) {
  const events: EventDraft[] = []
  const logged: unknown[] = []
  const state = { everything: false, sessions, revision: 7 }
  const handedOver = { sha256: 'x', target: 'aws', expiresAt: NOW + 600, record: {} }
  const deps: WithdrawalDeps = {
    records: {
      readEndedHolders: async () => ({ ...state, sessions: [...state.sessions] }),
      readHandedOver: async () => ({
        revision: 7,
        killed: false,
        credentials: [handedOver],
        holding: [{ sessionId: 'ses_1', target: 'aws' }],
      }),
      recordRefusal: async (event) => void events.push(event),
    },
    clock: manualClock(NOW),
    ids: randomIds,
    hashing: sha256Hashing,
    log: (...line) => void logged.push(line),
  }
  return { deps, events, logged, state }
}

/** A role that holds one document, and takes a moment to. */
function role() {
  const written: Denied[] = []
  const held = { now: null as Denied | null, pause: async () => undefined as void }
  const withdrawal: Withdrawal = {
    async enforce(denied) {
      await held.pause()
      const changed = JSON.stringify(held.now) !== JSON.stringify(denied)
      if (changed) {
        held.now = denied
        written.push(denied)
      }
      return ok<Enforced>({ changed, left: [] })
    },
  }
  return { withdrawal, written, held }
}

const refusing: Withdrawal = { enforce: async () => fail('aws_refused_AccessDenied') }

describe('withdraw', () => {
  test('SC-10: has exactly those denied that have ended, and says so in an event of its own', async () => {
    const { deps, events } = world()
    const { withdrawal, held } = role()
    const honoured = [{ target: 'aws', withdrawal }]
    expect(await withdraw(honoured, CAUSE, deps)).toEqual({ until: null })
    expect(held.now).toMatchObject({ everything: false, sessions: [ended('ses_1')] })
    expect(events).toMatchObject([
      {
        type: 'revocation',
        session_id: 'ses_1',
        decision_id: 'dec_1',
        action: { operation: 'credentials.deny', target: 'aws', sessions: 1, everything: false },
        outcome: { result: 'applied', aws_honours_until: null },
        policy_revision: 7,
      },
    ])
  })

  test('SC-10: where there is no revoker it says until when the credential works', async () => {
    const { deps, events } = world([ended('ses_1', 300), ended('ses_2', 900)])
    const honoured = [{ target: 'aws', withdrawal: null }]
    // Of one session it says when its own end; the event is about all that were looked at.
    expect(await withdraw(honoured, CAUSE, deps)).toEqual({ until: NOW + 300 })
    expect(events).toMatchObject([
      { outcome: { result: 'off', aws_honours_until: at(900) }, reason: 'no_revoker' },
    ])
  })

  test('SC-10: the same where AWS refuses, with the reason', async () => {
    const { deps, events } = world()
    const honoured = [{ target: 'aws', withdrawal: refusing }]
    expect(await withdraw(honoured, CAUSE, deps)).toEqual({ until: NOW + 600 })
    expect(events).toMatchObject([
      {
        outcome: { result: 'failed', aws_honours_until: at(600) },
        reason: 'aws_refused_AccessDenied',
      },
    ])
  })

  test('SC-10: whom there was no room for is told loudly, and honoured until they expire', async () => {
    const { deps, events } = world([ended('ses_1', 900), ended('ses_2', 60)])
    const full: Withdrawal = {
      enforce: async ({ sessions }) => ok({ changed: true, left: sessions.slice(1) }),
    }
    const honoured = [{ target: 'aws', withdrawal: full }]
    expect(await withdraw(honoured, BULK, deps)).toEqual({ until: NOW + 60 })
    expect(events).toMatchObject([
      { outcome: { left: 1, aws_honours_until: at(60) }, reason: 'deny_list_full' },
    ])
  })

  test('a session that holds nothing at a target has nobody asked', async () => {
    const { deps, events } = world()
    const asked: unknown[] = []
    const withdrawal: Withdrawal = { enforce: async (denied) => (asked.push(denied), fail('no')) }
    expect(await withdraw([{ target: 'other', withdrawal }], CAUSE, deps)).toBeNull()
    expect(await withdraw([], null, deps)).toBeNull()
    const idle = world([])
    expect(await withdraw([{ target: 'aws', withdrawal }], BULK, idle.deps)).toEqual({
      until: null,
    })
    expect([asked, events, idle.events]).toEqual([[], [], []])
  })

  test('what was given back is lifted, although nobody is left to be denied', async () => {
    const { deps, events, state } = world()
    const { withdrawal, held } = role()
    const honoured = [{ target: 'aws', withdrawal }]
    await withdraw(honoured, CAUSE, deps)
    state.sessions = []
    await withdraw(honoured, { ...BULK, isLift: true }, deps)
    expect(held.now).toMatchObject({ sessions: [] })
    expect(events).toHaveLength(2)
  })

  test('the kill switch denies everything', async () => {
    const { deps, state } = world([])
    const { withdrawal, held } = role()
    state.everything = true
    await withdraw([{ target: 'aws', withdrawal }], BULK, deps)
    expect(held.now).toMatchObject({ everything: true })
  })

  test('maintenance prunes what has expired, and leaves no event where nothing changed', async () => {
    const { deps, events, state } = world()
    const { withdrawal, held } = role()
    const honoured = [{ target: 'aws', withdrawal }]
    await withdraw(honoured, CAUSE, deps)
    await withdraw(honoured, null, deps)
    expect(events).toHaveLength(1)
    state.sessions = []
    await withdraw(honoured, null, deps)
    expect(held.now).toMatchObject({ sessions: [] })
    expect(events).toHaveLength(2)
    expect(events[1]).toMatchObject({ session_id: null, action: { sessions: 0 } })
  })

  test('maintenance makes good what failed', async () => {
    const { deps } = world()
    const { withdrawal, held } = role()
    await withdraw([{ target: 'aws', withdrawal: refusing }], CAUSE, deps)
    await withdraw([{ target: 'aws', withdrawal }], null, deps)
    expect(held.now).toMatchObject({ sessions: [ended('ses_1')] })
  })

  test('RACE: of two isolates, the one that writes an older list last writes once more', async () => {
    const { deps, state } = world([ended('ses_1')])
    const { withdrawal, held } = role()
    const honoured = [{ target: 'aws', withdrawal }]
    // The first has read, and is held up before it writes; meanwhile another session ends elsewhere.
    let release = (): void => undefined
    held.pause = () => new Promise<void>((done) => (release = done))
    const slow = withdraw(honoured, CAUSE, deps)
    await new Promise((done) => setTimeout(done))
    held.pause = async () => undefined
    state.sessions = [ended('ses_1'), ended('ses_2')]
    await withdraw(honoured, { decisionId: 'dec_2', sessionId: 'ses_2' }, deps)
    release()
    await slow
    expect(held.now?.sessions.map(({ sessionId }) => sessionId)).toEqual(['ses_1', 'ses_2'])
  })

  test('RACE: it ends although sessions go on ending', async () => {
    const { deps, state } = world()
    const { withdrawal, written, held } = role()
    held.pause = async () => {
      state.sessions = [...state.sessions, ended(`ses_${state.sessions.length + 1}`)]
    }
    await withdraw([{ target: 'aws', withdrawal }], CAUSE, deps)
    expect(written.length).toBeLessThanOrEqual(4)
  })

  test('that its event cannot be recorded undoes nothing; it is logged', async () => {
    const { deps, logged } = world()
    const { withdrawal } = role()
    const records = {
      ...deps.records,
      recordRefusal: () => Promise.reject(new StoreUnavailable('down')),
    }
    const done = await withdraw([{ target: 'aws', withdrawal }], CAUSE, { ...deps, records })
    expect(done).toEqual({ until: null })
    expect(logged).toHaveLength(1)
  })

  test('RB-08: what one target throws keeps no other from its work, and is in the log by its name', async () => {
    const { deps, events } = world()
    const { withdrawal, held } = role()
    const throwing: Withdrawal = { enforce: () => Promise.reject(new TypeError('canary')) }
    const honoured = [
      { target: 'broken', withdrawal: throwing },
      { target: 'aws', withdrawal },
    ]
    expect(await withdraw(honoured, BULK, deps)).toEqual({ until: NOW + 600 })
    expect(held.now).toMatchObject({ sessions: [ended('ses_1')] })
    const failed = events.find(({ action }) => action?.['target'] === 'broken')
    expect(failed).toMatchObject({ outcome: { result: 'failed' }, reason: 'threw_TypeError' })
    expect(JSON.stringify(events)).not.toContain('canary')
  })
})
