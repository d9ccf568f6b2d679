// REV-2: an action that reads revision 7 of the policy is never judged by a snapshot of revision 6, which
// another request of the same isolate happened to load in between.
import { expect, test } from 'vitest'
import { act, type ActionDeps } from '../../functions/core/action.ts'
import type { PolicySnapshot, PolicySource } from '../../functions/core/snapshot.ts'
import { ok } from '../../functions/core/result.ts'
import { createPolicySource } from '../../functions/policy/index.ts'
import { randomIds, sha256Hashing } from '../../functions/platforms/system.ts'
import { manualClock } from '../fakes/manual-clock.ts'
import { authMethod, target } from '../fakes/policy-objects.ts'
import { fakePolicyStore } from '../fakes/policy-store.ts'
import { fakePolicyTypes } from '../fakes/policy-types.ts'
import { bearer } from '../fakes/presented.ts'
import { openSession } from '../fakes/session.ts'

test('the target that an action reaches is the one of the revision that it was recorded on', async () => {
  const clock = manualClock()
  const store = fakePolicyStore({ auth_methods: [authMethod()], targets: [target()] })
  const source = createPolicySource({
    store,
    types: fakePolicyTypes(),
    clock,
    log: () => undefined,
  })
  const old = await source.current()
  store.revision += 1
  await source.refresh(old.revision)
  // The target is turned off with the next revision; the isolate holds the one before.
  store.revision += 1
  store.set('targets', target({ enabled: false }))

  const asked: number[] = []
  const policy: PolicySource = {
    ...source,
    current: () => Promise.resolve<PolicySnapshot>(old),
    refresh(known) {
      asked.push(known)
      return source.refresh(known)
    },
  }
  const session = openSession({ authMethod: 'prod', policyRevision: store.revision })
  const refused: string[] = []
  // Only what the path touches before it knows its target.
  const deps = {
    policy,
    clock,
    ids: randomIds,
    hashing: sha256Hashing,
    issuer: 'https://broker.example',
    conditions: { load: () => Promise.resolve() },
    isKilled: () => false,
    handles: {
      verify: () =>
        Promise.resolve(
          ok({
            iss: 'https://broker.example',
            aud: ['https://broker.example/t/crm'],
            sid: 'ses_1',
          }),
        ),
    },
    records: {
      readAction: () =>
        Promise.resolve({
          revision: store.revision,
          killed: false,
          session,
          bindings: null,
          approvals: [],
          history: [],
        }),
      recordRefusal: (event: { reason: string }) => {
        refused.push(event.reason)
        return Promise.resolve()
      },
    },
  } as unknown as ActionDeps
  const request = { target: 'crm', handle: bearer('handle'), raw: {}, declaredOrigin: null }
  expect((await act(request, 'dec_1', deps)).ok).toBe(false)
  expect(refused).toEqual(['target_removed'])
  expect(asked).toEqual([store.revision - 1])
})
