// What a target of type `aws-sts` may say, and every mistake at once.
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { TargetPolicy } from '../../functions/core/policy.ts'
import { createAwsStsTarget } from '../../functions/targets/aws-sts.ts'
import { planned, mintingOf, stsTarget, stsWorld } from './aws-sts-setup.ts'

const DEVELOPMENT = { reach: { privateNetwork: false, loopback: true } }
const WORKER = { canAssumeByRole: false }

function mistakes(
  config: JsonObject,
  given: Parameters<typeof stsWorld>[0] = {},
  more: Partial<TargetPolicy> = {},
): readonly string[] {
  const type = createAwsStsTarget(stsWorld(given).deps)
  return type.validate(stsTarget(config, more)).map(({ path, code }) => `${path} ${code}`)
}

test('takes what is right', () => {
  expect(mistakes({})).toEqual([])
  const all = {
    sts_endpoint: 'https://sts.eu-west-1.amazonaws.com',
    assume_by: 'role',
    policy_arns: ['arn:aws:iam::aws:policy/ReadOnlyAccess', 'arn:aws:iam::123456789012:policy/x/y'],
    policy_effects: ['read'],
    policy_objects: ['*'],
    tags: { Team: 'team', 'Cost Center': '/kubernetes.io/namespace' },
    transitive_tags: ['Team', 'sallyport_session'],
    revoker_role_arn: 'arn:aws:iam::123456789012:role/sallyport-revoker',
  }
  expect(mistakes(all)).toEqual([])
  expect(mistakes({}, {}, { private_network: true })).toEqual([])
})

test('names every mistake at once', () => {
  const type = createAwsStsTarget(stsWorld().deps)
  const target = {
    name: 'x',
    type: 'aws-sts',
    enabled: true,
    mask: [],
    config: { external_id: 'mine', region: 'mars-1', sts_endpoint: 'ftp://x', assume_by: 'guess' },
  }
  expect(type.validate(target).map(({ path, code }) => `${path} ${code}`)).toEqual([
    '/config/external_id unknown_member',
    '/config/region value',
    '/config/role_arn required',
    '/config/sts_endpoint unsafe',
    '/config/assume_by value',
    '/mask unexpected',
  ])
})

describe('the region (SC-09)', () => {
  test.each(['', 'aws-global', 'us-east-9', 'eu-west-1.evil.example', 'EU-WEST-1', '../us-east-1'])(
    'is of a table: %j',
    (region) => {
      expect(mistakes({ region })).toContain('/config/region value')
    },
  )
})

describe('the role (SC-08)', () => {
  test.each([
    'reader',
    'arn:aws:iam::123456789012:user/reader',
    'arn:aws:iam::1234:role/reader',
    'arn:aws:iam::123456789012:role/',
    'arn:aws:iam::123456789012:role/a b',
    'arn:aws:iam::123456789012:role/*',
    'arn:aws:iam::*:role/reader',
    'arn:aws:sts::123456789012:assumed-role/reader/x',
    'arn:aws:iam:eu-west-1:123456789012:role/reader',
    `arn:aws:iam::123456789012:role/${'x'.repeat(65)}`,
    'arn:aws:iam::123456789012:role/reader\n',
  ])('is one role, by its ARN: %j', (role_arn) => {
    expect(mistakes({ role_arn })).toContain('/config/role_arn format')
  })

  test.each([
    ['eu-west-1', 'aws-cn', 1],
    ['cn-north-1', 'aws', 1],
    ['us-gov-west-1', 'aws', 1],
    ['cn-north-1', 'aws-cn', 0],
    ['us-gov-west-1', 'aws-us-gov', 0],
  ])('is of the partition of its region: %s, %s', (region, partition, count) => {
    const role_arn = `arn:${partition}:iam::123456789012:role/reader`
    expect(mistakes({ region, role_arn })).toHaveLength(count)
  })
})

describe('the endpoint', () => {
  test.each([
    'https://sts.eu-west-1.amazonaws.com',
    'https://sts.eu-west-1.api.aws',
    'https://vpce-0123abcd-ef.sts.eu-west-1.vpce.amazonaws.com',
  ])('is AWS, in that region: %s', (sts_endpoint) => {
    expect(mistakes({ sts_endpoint })).toEqual([])
  })

  test.each([
    'https://sts.amazonaws.com',
    'https://sts.us-east-1.amazonaws.com',
    'https://sts.eu-west-1.amazonaws.com.evil.example',
    'https://evil.example',
    'https://evil.sts.eu-west-1.vpce.amazonaws.com',
    'https://vpce-1.vpce-svc-2.eu-west-1.vpce.amazonaws.com',
    'https://sts.eu-west-1.amazonaws.com:8443',
    'http://sts.eu-west-1.amazonaws.com',
    'http://127.0.0.1:5000',
    'https://127.0.0.1:5000',
    'https://169.254.169.254',
  ])('is nobody else, who could use what is sent for all that the role may: %s', (sts_endpoint) => {
    expect(mistakes({ sts_endpoint })).toEqual(['/config/sts_endpoint unsafe'])
  })

  test.each([
    'https://user:pass@sts.eu-west-1.amazonaws.com',
    'https://sts.eu-west-1.amazonaws.com/path',
    'https://sts.eu-west-1.amazonaws.com?x',
    'sts.eu-west-1.amazonaws.com',
  ])('is an origin: %s', (sts_endpoint) => {
    expect(mistakes({ sts_endpoint })).toEqual(['/config/sts_endpoint format'])
  })

  test('is a stand-in only on loopback, and only in development', () => {
    const at = (sts_endpoint: string) => mistakes({ sts_endpoint }, DEVELOPMENT)
    expect(at('http://127.0.0.1:5000')).toEqual([])
    expect(at('http://localhost:5000')).toEqual([])
    expect(at('http://10.0.0.1:5000')).toEqual(['/config/sts_endpoint unsafe'])
    expect(at('http://sts.eu-west-1.amazonaws.com')).toEqual(['/config/sts_endpoint unsafe'])
  })

  test('of the deployment’s environment is used, or named where it is wrong', async () => {
    const env = (endpoint: string) => ({
      ...DEVELOPMENT,
      env: (name: string) => (name === 'AWS_ENDPOINT_URL_STS' ? endpoint : undefined),
    })
    const world = stsWorld(env('http://127.0.0.1:4566'))
    const plan = await planned(mintingOf(world))
    expect(plan.action.destinations).toEqual(['127.0.0.1:4566'])
    expect(mistakes({}, env('http://sts.example'))).toEqual(['/config/region unsafe'])
    expect(mistakes({}, env('nonsense'))).toEqual(['/config/region unsafe'])
  })
})

describe('assume_by', () => {
  const by = async (config: JsonObject, given: Parameters<typeof stsWorld>[0]) =>
    (await planned(mintingOf(stsWorld(given), stsTarget(config)))).action.record['assume_by']

  test.each([
    [{}, 'web_identity'],
    [{ AWS_ACCESS_KEY_ID: 'A' }, 'web_identity'],
    [{ AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'b' }, 'role'],
    [{ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/' }, 'role'],
    [{ AWS_WEB_IDENTITY_TOKEN_FILE: '/f', AWS_ROLE_ARN: 'arn' }, 'role'],
    [{ AWS_PROFILE: 'dev' }, 'role'],
  ])('follows from the credentials that the environment shows: %j', async (env, expected) => {
    const given = { env: (name: string) => (env as Record<string, string>)[name] }
    expect(await by({}, given)).toBe(expected)
    expect(await by({ assume_by: 'web_identity' }, given)).toBe('web_identity')
    expect(await by({ assume_by: 'role' }, given)).toBe('role')
  })

  test('is web_identity on Workers, whatever the bindings say', async () => {
    expect(await by({}, WORKER)).toBe('web_identity')
    expect(mistakes({ assume_by: 'role' }, WORKER)).toEqual(['/config/assume_by unsafe'])
  })
})

describe('managed policies', () => {
  test('are at most ten (SC-03)', () => {
    const policy_arns = Array.from({ length: 11 }, (_, i) => `arn:aws:iam::aws:policy/P${i}`)
    expect(mistakes({ policy_arns })).toEqual(['/config/policy_arns range'])
    expect(mistakes({ policy_arns: policy_arns.slice(1) })).toEqual([])
  })

  test.each([
    ['ReadOnlyAccess', 'format'],
    ['arn:aws:iam::123456789012:role/x', 'format'],
    ['arn:aws-cn:iam::aws:policy/X', 'value'],
    ['arn:aws:iam::210987654321:policy/x', 'value'],
  ])('are policies, of the account or of AWS: %s', (arn, code) => {
    expect(mistakes({ policy_arns: [arn] })).toEqual([`/config/policy_arns/0 ${code}`])
  })

  test('what they allow is said beside them', () => {
    expect(mistakes({ policy_effects: ['read'], policy_objects: ['*'] })).toEqual([
      '/config/policy_effects unexpected',
      '/config/policy_objects unexpected',
    ])
    const policy_arns = ['arn:aws:iam::aws:policy/X']
    expect(mistakes({ policy_arns, policy_effects: ['look'], policy_objects: ['x'] })).toEqual([
      '/config/policy_effects/0 value',
      '/config/policy_objects/0 format',
    ])
  })
})

describe('tags (SC-05)', () => {
  test.each([
    [{ Team: 'a', team: 'b' }, '/config/tags/team value'],
    [{ 'aws:x': 'a' }, '/config/tags/aws:x value'],
    [{ sallyport_session: 'a' }, '/config/tags/sallyport_session value'],
    [{ Sallyport_Root: 'a' }, '/config/tags/Sallyport_Root value'],
    [{ '': 'a' }, '/config/tags/ format'],
    [{ 'a*': 'a' }, '/config/tags/a* format'],
    [{ [`x${'y'.repeat(128)}`]: 'a' }, `/config/tags/x${'y'.repeat(128)} format`],
    [{ Team: 5 }, '/config/tags/Team type'],
    [{ Team: '' }, '/config/tags/Team format'],
    [[], '/config/tags type'],
  ])('%j is a mistake', (tags, expected) => {
    expect(mistakes({ tags })).toEqual([expected])
  })

  test('are fifty with the broker’s own among them', () => {
    const tags = Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`k${i}`, 'claim']))
    expect(mistakes({ tags })).toEqual(['/config/tags range'])
  })

  test('are transitive only where they are there', () => {
    expect(mistakes({ transitive_tags: ['Team'] })).toEqual(['/config/transitive_tags/0 value'])
  })
})

test.each([
  ['arn:aws:iam::123456789012:role/agents/reader', 'unsafe'],
  ['arn:aws:iam::210987654321:role/revoker', 'value'],
  ['arn:aws-cn:iam::123456789012:role/revoker', 'value'],
  ['revoker', 'format'],
])('the revoker is another role of the same account: %s', (revoker_role_arn, code) => {
  expect(mistakes({ revoker_role_arn })).toEqual([`/config/revoker_role_arn ${code}`])
})
