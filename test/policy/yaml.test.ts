import { describe, expect, test } from 'vitest'
import { parsePolicyDocument } from '../../functions/policy/index.ts'
import { parsePolicyYaml } from '../../functions/policy/yaml.ts'

const DOCUMENTED = `
auth_methods:
  - { name: prod-k8s, type: kubernetes, config: { issuer: https://oidc.prod.example, audiences: [sallyport],
      namespaces: [analytics], service_accounts: ["*"] } }
targets:
  - { name: crm, type: http, labels: [customer-facing], config: { base_url: https://crm.example },
      credential: { inject: bearer, secret: "sealed:crm-token" }, mask: [{ json_path: "$..ssn" }] }
bindings:
  - { name: support-crm, auth_method: prod-k8s, target: crm, grants: [{ effects: [read], objects: ["GET /v1/customers/*"] }],
      ttl_seconds: 300, intent: { policy: default, required: true }, limits: { actions: 200, rows: 5000 }, owner: team-support }
intent_policies:
  - { name: default, rules: [ { id: no-destructive, effect: deny,
      text: "Do not allow any destructive operation against a customer-facing table." } ] }
`

describe('a policy in YAML', () => {
  test('reads the documented example', () => {
    const yaml = parsePolicyYaml(DOCUMENTED)
    expect(yaml.ok && parsePolicyDocument(yaml.value)).toMatchObject({
      ok: true,
      value: { bindings: [{ name: 'support-crm', intent: { on_review: 'approval' } }] },
    })
  })

  test('keeps dates and words as text, as YAML 1.2 does', () => {
    expect(parsePolicyYaml('a: 2027-01-31\nb: no\nc: 0o17\n')).toEqual({
      ok: true,
      value: { a: '2027-01-31', b: 'no', c: 15 },
    })
  })

  test.each([
    ['a duplicate key', 'a: 1\na: 2'],
    ['an alias', 'a: &x [1]\nb: *x'],
    ['a bomb of aliases', 'a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]'],
    ['a tag', 'a: !!binary aGVsbG8='],
    ['a custom tag', 'a: !secret x'],
    ['a key that is no string', '? [1]\n: 2'],
    ['two documents', 'a: 1\n---\nb: 2'],
    ['broken text', 'a: [1'],
  ])('refuses %s', (_, text) => {
    const parsed = parsePolicyYaml(text)
    expect(parsed.ok ? parsed.value : parsed.failure[0]?.code).toBe('yaml')
  })

  test('lets no key change a prototype', () => {
    const parsed = parsePolicyYaml(
      'targets: [{ name: a, type: http, config: { __proto__: { x: 1 } } }]',
    )
    if (parsed.ok) expect(parsePolicyDocument(parsed.value).ok).toBe(false)
    expect(({} as { x?: number }).x).toBeUndefined()
  })
})
