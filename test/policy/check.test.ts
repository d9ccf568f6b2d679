import { describe, expect, test } from 'vitest'
import type { DocumentError, PolicyDocument } from '../../functions/core/policy.ts'
import { ok } from '../../functions/core/result.ts'
import type { PolicyTypes } from '../../functions/policy/index.ts'
import {
  checkPolicy,
  policyWarnings,
  validatePolicyDocument,
} from '../../functions/policy/index.ts'
import { authMethod, binding, intentPolicy, target } from '../fakes/policy-objects.ts'
import { fakePolicyTypes } from '../fakes/policy-types.ts'

const WHOLE: PolicyDocument = {
  auth_methods: [authMethod()],
  targets: [target()],
  bindings: [binding()],
  intent_policies: [intentPolicy()],
}

async function mistakes(
  change: Partial<PolicyDocument>,
  types: PolicyTypes = fakePolicyTypes(),
): Promise<string[]> {
  return (await checkPolicy({ ...WHOLE, ...change }, types)).map(short)
}

function short({ path, code }: DocumentError): string {
  return `${path} ${code}`
}

describe('a policy', () => {
  test('that joins what is there has no mistakes', async () => {
    expect(await mistakes({})).toEqual([])
  })

  test('has references that lead somewhere', async () => {
    const lost = binding({
      auth_method: 'gone',
      target: 'gone',
      intent: { policy: 'gone', required: true, on_review: 'approval' },
    })
    expect(await mistakes({ bindings: [binding(), { ...lost, name: 'lost' }] })).toEqual([
      '/bindings/1/auth_method unknown_reference',
      '/bindings/1/target unknown_reference',
      '/bindings/1/intent/policy unknown_reference',
    ])
  })

  test('POL-7: has names that are unique', async () => {
    expect(await mistakes({ targets: [target(), target(), target({ name: 'erp' })] })).toEqual([
      '/targets/1/name duplicate',
    ])
    const rule = { id: 'r', text: 'x', effect: 'deny' } as const
    expect(await mistakes({ intent_policies: [intentPolicy({ rules: [rule, rule] })] })).toEqual([
      '/intent_policies/0/rules/1/id duplicate',
    ])
  })

  test('TEN-3: takes no built-in name', async () => {
    expect(await mistakes({ targets: [target(), target({ name: 'sallyport-admin' })] })).toEqual([
      '/targets/1/name reserved',
    ])
    expect(await mistakes({ auth_methods: [authMethod(), authMethod({ name: 'admin' })] })).toEqual(
      ['/auth_methods/1/name reserved'],
    )
  })

  test('asks the type of each object, and knows all types', async () => {
    expect(
      await mistakes({
        auth_methods: [authMethod({ config: {} })],
        targets: [target({ type: 'ftp' })],
        intent_policies: [
          intentPolicy({
            judge: { type: 'oracle', url: 'https://judge.example' },
            floor: { type: 'openai-compatible', url: 'https://floor.example' },
          }),
        ],
      }),
    ).toEqual([
      '/auth_methods/0/config/audiences unsafe',
      '/targets/0/type unknown_type',
      '/intent_policies/0/judge/type unknown_type',
      '/intent_policies/0/floor/type value',
    ])
  })

  test('never believes the broker itself', async () => {
    for (const issuer of [
      'https://broker.example',
      'https://broker.example/federation',
      'HTTPS://Broker.Example/',
    ]) {
      const config = { issuer, audiences: ['a'] }
      expect(await mistakes({ auth_methods: [authMethod({ config })] })).toEqual([
        '/auth_methods/0/config/issuer unsafe',
      ])
    }
  })

  test('has conditions and patterns that can be read', async () => {
    const grants = [
      { effects: ['read'], objects: ['GET /v1/**/x', 'GET /v1/cust*', 'GET /ok/*'] },
    ] as const
    expect(await mistakes({ bindings: [binding({ grants, condition: '!!' })] })).toEqual([
      '/bindings/0/grants/0/objects/0 pattern',
      '/bindings/0/grants/0/objects/1 pattern',
      '/bindings/0/condition condition',
    ])
  })

  test('grants something wherever it allows', async () => {
    expect(await mistakes({ bindings: [binding({ grants: [] })] })).toEqual([
      '/bindings/0/grants required',
    ])
    expect(await mistakes({ bindings: [binding({ grants: [], effect: 'deny' })] })).toEqual([])
  })

  test('hands out credentials only where the target makes them', async () => {
    expect(await mistakes({ bindings: [binding({ delivery: 'credential' })] })).toEqual([
      '/bindings/0/delivery unsupported',
    ])
  })

  test('asks for a proof only where something is opened', async () => {
    const asking = (require_proof: 'none' | 'dpop' | 'mtls', effect: 'allow' | 'deny') =>
      mistakes({ bindings: [binding({ require_proof, effect })] })
    for (const proof of ['none', 'dpop', 'mtls'] as const) {
      expect(await asking(proof, 'allow')).toEqual([])
    }
    expect(await asking('none', 'deny')).toEqual([])
    expect(await asking('mtls', 'deny')).toEqual(['/bindings/0/require_proof unsupported'])
  })

  test('grants roles of the admin API by name only', async () => {
    const admin = (effects: readonly ('admin' | 'read')[], objects: string[]) => ({
      bindings: [binding({ target: 'sallyport-admin', grants: [{ effects, objects }] })],
    })
    expect(await mistakes(admin(['admin'], ['viewer', 'editor']))).toEqual([])
    expect(await mistakes(admin(['admin'], ['*']))).toEqual([
      '/bindings/0/grants/0/objects/0 value',
    ])
    expect(await mistakes(admin(['admin', 'read'], ['root']))).toEqual([
      '/bindings/0/grants/0/effects value',
      '/bindings/0/grants/0/objects/0 value',
    ])
  })

  test('sends a secret only to its allowed origins', async () => {
    const types = fakePolicyTypes({ 'sealed:crm': ['https://crm.example'] })
    const withSecret = (base_url: string, secret = 'sealed:crm') => ({
      targets: [target({ config: { base_url }, credential: { inject: 'bearer', secret } })],
    })
    expect(await mistakes(withSecret('https://crm.example/v2'), types)).toEqual([])
    for (const url of [
      'https://crm.example:8443',
      'http://crm.example',
      'https://crm.example.evil',
      'https://x@evil',
    ])
      expect(await mistakes(withSecret(url), types)).toEqual([
        '/targets/0/credential/secret origin_not_allowed',
      ])
    expect(await mistakes(withSecret('mailto:x'), types)).toEqual([
      '/targets/0/credential/secret unsafe',
    ])
    expect(await mistakes(withSecret('https://crm.example', 'sealed:other'), types)).toEqual([
      '/targets/0/credential/secret unknown_secret',
    ])
    const judge = { type: 'authzen', url: 'https://judge.example', secret: 'sealed:crm' }
    expect(
      await mistakes({ intent_policies: [intentPolicy({ judge, floor: judge })] }, types),
    ).toEqual([
      '/intent_policies/0/judge/secret origin_not_allowed',
      '/intent_policies/0/floor/secret origin_not_allowed',
    ])
    const config = {
      audiences: ['a'],
      secret: 'sealed:crm',
      introspection_endpoint: 'https://idp.example',
    }
    expect(await mistakes({ auth_methods: [authMethod({ config })] }, types)).toEqual([
      '/auth_methods/0/config/secret origin_not_allowed',
    ])
  })

  test('has the mistakes of shape and of meaning reported together, at their places', async () => {
    const { errors } = await validatePolicyDocument(
      {
        targets: [
          { name: 'broken', type: 'http', config: 1 },
          { name: 'crm', type: 'http', config: {} },
        ],
        bindings: [
          {
            name: 'a',
            auth_method: 'none',
            target: 'broken',
            grants: [{ effects: ['read'], objects: ['*'] }],
          },
        ],
      },
      fakePolicyTypes(),
      null,
    )
    // The binding's target is there, though broken: that it is unknown would be untrue.
    expect(errors.map(short)).toEqual([
      '/targets/0/config type',
      '/targets/1/config/base_url unsafe',
      '/bindings/0/auth_method unknown_reference',
    ])
  })

  test('is checked for 20,000 bindings with one look at each secret', async () => {
    let looks = 0
    const types = fakePolicyTypes()
    const bindings = Array.from({ length: 20_000 }, (_, i) => binding({ name: `b${i}` }))
    const targets = [
      ...Array.from({ length: 50 }, (_, i) =>
        target({ name: `t${i}`, credential: { inject: 'bearer', secret: 'sealed:one' } }),
      ),
      target(),
    ]
    const errors = await mistakes(
      { bindings, targets },
      {
        ...types,
        secretAllowedOrigins: async () => {
          looks++
          return ok(['https://crm.example'])
        },
      },
    )
    expect(errors).toEqual([])
    expect(looks).toBe(1)
  })
})

describe('warnings', () => {
  test('tell what is allowed and probably not meant', () => {
    const { owner: _, ...nobodys } = binding()
    const found = policyWarnings(
      {
        ...WHOLE,
        bindings: [
          {
            ...nobodys,
            mode: 'log_only',
            limits: { rows: 5, actions: 1 },
            grants: [{ effects: ['read'], objects: ['*'] }],
            expires_at: '2020-01-01',
            review_by: '2020-01-01T00:00:00Z',
            intent: { required: false, on_review: 'allow' },
          },
          binding({ effect: 'deny' }),
          binding({ expires_at: '2999-01-01' }),
        ],
        intent_policies: [intentPolicy({ rules: [{ id: 'r', text: 'x', effect: 'deny' }] })],
      },
      1_800_000_000,
    )
    expect(found.map(short)).toEqual([
      '/bindings/0/owner no_owner',
      '/bindings/0/mode log_only',
      '/bindings/0/intent/on_review review_allowed',
      '/bindings/0/limits/rows no_effect',
      '/bindings/0/grants/0/objects/0 open_pattern',
      '/bindings/0/expires_at expired',
      '/bindings/0/review_by review_due',
      '/bindings/1/grants no_effect',
      '/intent_policies/0/rules no_judge',
    ])
  })
})

test('a binding of a method of users that opens nothing is warned about', () => {
  const people = authMethod({ name: 'people', subject: 'user' })
  const own = { auth_method: 'people', owner: 'team' }
  const document = {
    ...WHOLE,
    auth_methods: [people],
    bindings: [
      binding(own),
      binding({ ...own, allow_impersonation: true }),
      binding({ ...own, effect: 'deny', grants: [] }),
    ],
  }
  const found = policyWarnings(document, 1_800_000_000).map(short)
  expect(found.filter((one) => one.includes('impersonation'))).toEqual([
    '/bindings/0/allow_impersonation no_effect',
  ])
})
