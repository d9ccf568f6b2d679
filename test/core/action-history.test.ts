// What a session did before is read for evaluators alone: no action pays for it in vain, and none that is
// judged goes without.
import { describe, expect, test } from 'vitest'
import { act, type ActionDeps } from '../../functions/core/action.ts'
import type { CompiledEvaluator } from '../../functions/core/evaluator.ts'
import { ok } from '../../functions/core/result.ts'
import type { CompiledIntentPolicy, PolicySnapshot } from '../../functions/core/snapshot.ts'
import { randomIds, sha256Hashing } from '../../functions/platforms/system.ts'
import { manualClock } from '../fakes/manual-clock.ts'
import { bearer } from '../fakes/presented.ts'
import { openSession } from '../fakes/session.ts'

const ISSUER = 'https://broker.example'

const evaluator: CompiledEvaluator = {
  name: 'judge',
  evaluate: () => Promise.resolve({ verdict: 'deny', reasonCode: 'no', latencyMs: 0 }),
}

function snapshotOf(revision: number, judge: CompiledEvaluator | null): PolicySnapshot {
  const policy: CompiledIntentPolicy = {
    policy: { name: 'default', enabled: true, rules: [] },
    floor: null,
    judge,
  }
  return {
    revision,
    userMethods: new Set(),
    methodsBySelector: new Map(),
    methods: new Map(),
    targets: new Map(),
    intentPolicies: new Map([['default', policy]]),
  }
}

/** Runs an action against `held`, on a store whose policy is `stored`; how often it read, and with what. */
async function historyAsked(held: PolicySnapshot, stored: PolicySnapshot) {
  const asked: boolean[] = []
  const clock = manualClock()
  // Only what the path touches before it knows its target, which is not there.
  const deps = {
    clock,
    ids: randomIds,
    hashing: sha256Hashing,
    issuer: ISSUER,
    isKilled: () => false,
    conditions: { load: () => Promise.resolve() },
    policy: {
      current: () => Promise.resolve(held),
      refresh: () => Promise.resolve(stored),
    },
    handles: {
      verify: () => Promise.resolve(ok({ iss: ISSUER, aud: [`${ISSUER}/t/crm`], sid: 'ses_1' })),
    },
    records: {
      readAction(query: { readonly withHistory: boolean }) {
        asked.push(query.withHistory)
        return Promise.resolve({
          revision: stored.revision,
          killed: false,
          session: openSession({ policyRevision: stored.revision }),
          bindings: null,
          approvals: [],
          history: [],
        })
      },
      recordRefusal: () => Promise.resolve(),
    },
  } as unknown as ActionDeps
  await act({ target: 'crm', handle: bearer('h'), raw: {}, declaredOrigin: null }, 'dec_1', deps)
  return asked
}

describe('the history of a session', () => {
  test('is not read while no intent policy asks an evaluator', async () => {
    expect(await historyAsked(snapshotOf(7, null), snapshotOf(7, null))).toEqual([false])
  })

  test('is read along with the session when one does', async () => {
    const judged = snapshotOf(7, evaluator)
    expect(await historyAsked(judged, judged)).toEqual([true])
  })

  test('is read again when the policy came to ask one since this isolate looked', async () => {
    const asked = await historyAsked(snapshotOf(7, null), snapshotOf(8, evaluator))
    expect(asked).toEqual([false, true])
  })
})
