// `sallyport doctor` on secrets that are not in the broker's own vault: what the broker says of each.
import { expect, test } from 'vitest'
import type { BrokerClient } from '../../functions/cli/broker-client.ts'
import { foreignSecretChecks } from '../../functions/cli/doctor-secrets.ts'
import { CliError, EXIT } from '../../functions/cli/io.ts'

const target = (name: string, secret: string) => ({
  name,
  type: 'http',
  config: { base_url: 'https://crm.example' },
  credential: { inject: 'bearer', secret },
})

type Said = { readonly errors?: readonly object[]; readonly warnings?: readonly object[] }

function brokerThat(says: (path: string, name: string) => Said | Error) {
  const asked: string[] = []
  const client: BrokerClient = {
    server: 'https://broker.example',
    get: () => Promise.reject(new Error('not asked for')),
    form: () => Promise.reject(new Error('not asked for')),
    async admin(_, path, body) {
      const { name } = body as { name: string }
      asked.push(`${path} ${name}`)
      const said = says(path, name)
      if (said instanceof Error) throw said
      if (said.errors !== undefined) throw new CliError(EXIT.refused, 'refused', said)
      return { status: 200, headers: new Headers(), body: { valid: true, ...said } }
    },
  }
  return { client, asked }
}

const AT = '/credential/secret'

test('one that is there, one that is not, and one that was not looked up', async () => {
  const { client } = brokerThat((_, name) => {
    if (name === 'gone') {
      return { errors: [{ path: AT, message: 'there is no secret aws-ssm:/gone' }] }
    }
    return name === 'unread' ? { warnings: [{ path: AT, code: 'secret_unread' }] } : {}
  })
  const targets = [
    target('there', 'aws-secrets-manager:crm#token'),
    target('gone', 'aws-ssm:/gone'),
    target('unread', 'aws-ssm:/unread'),
    target('variable', 'env:CRM'),
  ]
  expect(await foreignSecretChecks(client, { targets })).toMatchObject([
    {
      check: 'target there: secret',
      status: 'OK',
      detail: 'the broker can read aws-secrets-manager:crm#token',
    },
    {
      check: 'target gone: secret',
      status: 'FAIL',
      detail: 'there is no secret aws-ssm:/gone',
      fix: expect.stringContaining('docs/secrets.md'),
    },
    { check: 'target unread: secret', status: 'WARN', fix: expect.stringContaining('admin') },
    { check: 'target variable: secret', status: 'OK' },
  ])
})

test('a mistake elsewhere in the object is not one of its secret, and hides it', async () => {
  const { client } = brokerThat(() => ({ errors: [{ path: '/config/base_url', message: 'x' }] }))
  const checks = await foreignSecretChecks(client, { targets: [target('a', 'aws-ssm:/a')] })
  expect(checks).toMatchObject([{ status: 'WARN', fix: 'mend the object first' }])
})

test('secrets of methods and judges are looked up, and sealed ones are not', async () => {
  const { client, asked } = brokerThat(() => ({}))
  const checks = await foreignSecretChecks(client, {
    auth_methods: [
      {
        name: 'saas',
        config: { introspection_endpoint: 'https://idp.example', secret: 'aws-ssm:/saas' },
      },
    ],
    targets: [target('sealed', 'sealed:crm')],
    intent_policies: [
      {
        name: 'judged',
        judge: { type: 'authzen', url: 'https://pdp.example', secret: 'aws-ssm:/pdp' },
      },
    ],
  })
  expect(asked).toEqual(['/auth-methods/validate saas', '/intent-policies/validate judged'])
  expect(checks.map(({ check }) => check)).toEqual([
    'auth method saas: secret',
    'intent policy judged: secret',
  ])
})

test('a broker that does not answer is a warning', async () => {
  const { client } = brokerThat(() => new CliError(EXIT.unavailable, 'refused: unavailable\n  x'))
  const checks = await foreignSecretChecks(client, { targets: [target('a', 'aws-ssm:/a')] })
  expect(checks).toMatchObject([{ status: 'WARN', detail: expect.stringContaining('aws-ssm:/a') }])
})
