import { describe, expect, test } from 'vitest'
import type { BindingPolicy, PolicyDocument } from '../../functions/core/policy.ts'
import { checkPolicy } from '../../functions/policy/index.ts'
import { createIdJagTarget } from '../../functions/targets/id-jag.ts'
import { createTxnTokenTarget } from '../../functions/targets/txn-token.ts'
import { authMethod, binding, target } from '../fakes/policy-objects.ts'
import { fakePolicyTypes } from '../fakes/policy-types.ts'
import { issuing } from '../targets/issued-tokens.ts'

const { deps } = issuing()
const types = {
  ...fakePolicyTypes(),
  targets: [createIdJagTarget(deps), createTxnTokenTarget(deps)],
}
const scopes = { 'chat.read': 'read' }
const chat = target({
  name: 'chat',
  type: 'id-jag',
  config: {
    audience: 'https://chat.example',
    client_id: 'agent',
    subject_issuer: 'https://login.example',
    login_client_id: 'agent',
    scopes,
  },
})
const mesh = target({ name: 'mesh', type: 'txn-token', config: { audience: 'mesh', scopes } })
const POLICY: PolicyDocument = {
  auth_methods: [authMethod(), authMethod({ name: 'people', subject: 'user' })],
  targets: [chat, mesh],
  bindings: [],
  intent_policies: [],
}

async function mistakes(change: Partial<BindingPolicy>): Promise<string[]> {
  const grants = [{ effects: ['read'], objects: ['chat.read'] }] as const
  const one = binding({ target: 'chat', delivery: 'credential', grants, ...change })
  const found = await checkPolicy({ ...POLICY, bindings: [one] }, types)
  return found.map(({ path, code }) => `${path} ${code}`)
}

describe('a binding of a target that issues tokens', () => {
  test('for users, whom an ID-JAG speaks of', async () => {
    expect(await mistakes({ on_behalf_of: ['people'] })).toEqual([])
    expect(await mistakes({})).toEqual(['/bindings/0/on_behalf_of required'])
    expect(await mistakes({ target: 'mesh' })).toEqual([])
    expect(await mistakes({ target: 'mesh', on_behalf_of: ['people'] })).toEqual([])
  })

  test('never for a user whose token came alone, as an ID-JAG names who acts', async () => {
    const alone = { auth_method: 'people', on_behalf_of: ['people'], allow_impersonation: true }
    expect(await mistakes(alone)).toContain('/bindings/0/allow_impersonation unsupported')
  })

  test('grants scopes of the target, and nothing that would grant nothing', async () => {
    const objects = ['chat.*', '**', 'chat.secret', 'chat', 'chat.re*', 'files.*']
    const grants = [{ effects: ['read'], objects }] as const
    expect(await mistakes({ on_behalf_of: ['people'], grants })).toEqual(
      [2, 3, 4, 5].map((i) => `/bindings/0/grants/0/objects/${i} pattern`),
    )
  })

  test('that denies needs no user', async () => {
    expect(await mistakes({ effect: 'deny', delivery: 'session', grants: [] })).toEqual([])
  })

  test('hands over a credential, and says so', async () => {
    const session = { delivery: 'session', on_behalf_of: ['people'] } as const
    expect(await mistakes(session)).toEqual(['/bindings/0/delivery unsupported'])
    expect(await mistakes({ ...session, target: 'mesh' })).toEqual([
      '/bindings/0/delivery unsupported',
    ])
  })
})

describe('JB-07: an Auth Method of the federation issuer', () => {
  test.each([
    'https://broker.example/federation',
    'https://broker.example/federation/',
    'https://broker.example:443/federation',
    'HTTPS://broker.example/federation',
    'https://BROKER.example/federation',
    'https://broker.example/Federation',
    'https://broker.example/%66ederation',
    'https://broker.example/x/../federation',
    'https://broker.example//federation',
    'https://broker.example\\federation',
    'https://broker.example/federation?x=1',
    'https://broker.example/federation#x',
    'https://user@broker.example/federation',
    'http://broker.example/federation',
    'https://broker.example',
  ])('is refused, also when it is spelt %s', async (issuer) => {
    const own = authMethod({ config: { issuer, audiences: ['sallyport'] } })
    const found = await checkPolicy({ ...POLICY, auth_methods: [own] }, types)
    const isHttp = issuer.startsWith('http:')
    // Over http it is another origin, which a deployment without loopback takes from nobody.
    expect(found.map(({ path }) => path)).toEqual(isHttp ? [] : ['/auth_methods/0/config/issuer'])
  })
})
