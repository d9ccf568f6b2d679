// Attacks on the policy: claims that are padded until a deny cannot look at them, bindings that end while
// a session lives, and a policy that changes while a request reads it.
import { describe, expect, test } from 'vitest'
import { createPolicySource } from '../../functions/policy/index.ts'
import { manualClock } from '../fakes/manual-clock.ts'
import { authMethod, target } from '../fakes/policy-objects.ts'
import { fakePolicyStore } from '../fakes/policy-store.ts'
import { fakePolicyTypes } from '../fakes/policy-types.ts'
import { type InProcess, startInProcess } from '../faults/in-process.ts'

type Document = { bindings: object[] }

async function withBinding(broker: InProcess, binding: object): Promise<void> {
  const document = (await (await broker.admin('GET', '/policy')).json()) as Document
  document.bindings.push(binding)
  const applied = await broker.admin('POST', '/policy/apply', document)
  if (!applied.ok) throw new Error(await applied.text())
}

describe('POL-8: deny overrides allow, whatever else is in the token', () => {
  test.each([
    ['nothing', {}],
    ['a claim longer than a condition reads', { bio: 'x'.repeat(8193) }],
    ['a list longer than a condition reads', { groups: Array.from({ length: 257 }, () => 'a') }],
    [
      'a claim deeper than a condition reads',
      { deep: JSON.parse('['.repeat(20) + ']'.repeat(20)) },
    ],
  ])('a deny still holds beside %s', async (_, padding) => {
    const broker = await startInProcess()
    await withBinding(broker, {
      name: 'no-contractors',
      auth_method: 'ci',
      target: 'crm',
      effect: 'deny',
      grants: [],
      ttl_seconds: 60,
      condition: 'has(claims.contractor) && claims.contractor == true',
    })
    const claims = { contractor: true, ...padding }
    const refused = await broker.exchange({ subject_token: await broker.token(claims) })
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ error: 'invalid_target' })
    expect((await broker.exchange()).status).toBe(200)
  })

  test('an allow with a condition is gone beside what its condition cannot read', async () => {
    const broker = await startInProcess({ binding: { condition: 'claims.team == "support"' } })
    const padded = await broker.token({ bio: 'x'.repeat(8193) })
    expect((await broker.exchange({ subject_token: padded })).status).toBe(400)
  })
})

test('a session ends with the binding it stands on, though the policy never changed', async () => {
  const end = new Date((1_800_000_000 + 60) * 1000).toISOString()
  const broker = await startInProcess({ binding: { expires_at: end, ttl_seconds: 300 } })
  const response = await broker.exchange()
  const body = (await response.json()) as { access_token: string; expires_in: number }
  expect(body.expires_in).toBe(60)
  expect((await broker.call(body.access_token, '/v1/a')).status).toBe(200)
  broker.clock.advance(61)
  expect((await broker.call(body.access_token, '/v1/a')).status).toBe(401)
  expect((await broker.exchange()).status).toBe(400)
})

describe('the policy source, when the request that began a load goes away with it (Workers)', () => {
  const begun = (hang: 'snapshot' | 'revision') => {
    const store = fakePolicyStore({ auth_methods: [authMethod()], targets: [target()] })
    let isFirst = false
    const never = () => new Promise<never>(() => undefined)
    const first = <T>(what: string, read: () => Promise<T>): Promise<T> => {
      if (!isFirst || what !== hang) return read()
      isFirst = false
      return never()
    }
    const source = createPolicySource({
      store: {
        readSnapshot: () => first('snapshot', () => store.readSnapshot()),
        readRevision: () => first('revision', () => store.readRevision()),
      },
      types: fakePolicyTypes(),
      clock: manualClock(),
      log: () => undefined,
    })
    return { store, source, hangNext: () => void (isFirst = true) }
  }

  test('the others get the policy all the same', async () => {
    const { source, hangNext } = begun('snapshot')
    hangNext()
    void source.current()
    const waiting = await Promise.all([source.current(), source.current()])
    expect(waiting.map(({ revision }) => revision)).toEqual([1, 1])
  })

  test('the others get a change of the policy all the same', async () => {
    const { source, store, hangNext } = begun('revision')
    await source.current()
    store.revision += 1
    hangNext()
    void source.refresh(1)
    expect((await source.refresh(1)).revision).toBe(2)
  })
})
