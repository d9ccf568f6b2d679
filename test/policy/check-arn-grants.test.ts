import { describe, expect, test } from 'vitest'
import type { Effect } from '../../functions/core/policy.ts'
import { arnGrantMistakes } from '../../functions/policy/check-arn-grants.ts'
import { checkPolicy } from '../../functions/policy/index.ts'
import { createAwsStsTarget } from '../../functions/targets/aws-sts.ts'
import { authMethod, binding, target } from '../fakes/policy-objects.ts'
import { fakePolicyTypes } from '../fakes/policy-types.ts'
import { stsWorld } from '../targets/aws-sts-setup.ts'

const CONFIG = { region: 'eu-west-1', role_arn: 'arn:aws:iam::123456789012:role/agents' }

async function mistakes(
  effects: readonly Effect[],
  objects: readonly string[],
  config: Parameters<typeof arnGrantMistakes>[1] = CONFIG,
): Promise<readonly string[]> {
  const errors = await arnGrantMistakes([{ effects, objects }], config)
  return errors.map(({ path, code }) => `${path} ${code}`)
}

describe('grants of an aws-sts target', () => {
  test.each([
    [['read'], ['arn:aws:s3:::reports', 'arn:aws:s3:::reports/*']],
    [['read', 'write', 'delete'], ['arn:aws:dynamodb:*:*:table/orders']],
    [['read'], ['arn:aws:s3:::home/${claims.team}/*', 'arn:aws:s3:::${subject.email}']],
    [['send'], ['arn:aws:sqs:eu-west-1:123456789012:${claims.team}-*']],
    [['read'], ['arn:aws:ec2:*:*:*']],
    [['admin'], ['arn:aws:secretsmanager:*:*:secret:db-*']],
  ] as const)('%j on %j is accepted', async (effects, objects) => {
    expect(await mistakes(effects, objects)).toEqual([])
  })

  test.each([
    ['*', 'pattern'],
    ['**', 'pattern'],
    ['GET /v1', 'pattern'],
    ['public.orders', 'pattern'],
    ['arn:aws:s3', 'pattern'],
    ['arn:aws:*:*:*:*', 'pattern'],
    ['arn:*:s3:::a', 'pattern'],
    ['arn:aws:s3:::${aws:username}', 'pattern'],
    ['arn:aws:s3:::${identity.team}', 'pattern'],
    ['arn:aws:s3:::${claims.team', 'pattern'],
    ['arn:aws:${claims.service}:::a', 'pattern'],
    ['arn:aws:s3:::', 'pattern'],
    ['arn:aws-cn:s3:::a', 'value'],
    ['arn:aws-xx:s3:::a', 'value'],
    ['arn:aws:nothing:::a', 'unknown_service'],
    ['arn:aws:constructor:::a', 'unknown_service'],
    ['arn:aws:s3:eu-west-1:1:nothing/a', 'no_action'],
    ['arn:aws:ec2:*:*:nothing/*', 'no_action'],
  ])('%s is refused: %s', async (object, code) => {
    expect(await mistakes(['read'], [object])).toContain(`/grants/0/objects/0 ${code}`)
  })

  test('an effect that no action has there is refused, whatever stands beside it', async () => {
    expect(await mistakes(['read', 'send'], ['arn:aws:s3:::reports/*'])).toEqual([
      '/grants/0/effects/1 no_action',
    ])
    // `dynamodb:BatchWriteItem` needs both effects, and others need one.
    expect(await mistakes(['write'], ['arn:aws:dynamodb:*:*:table/t'])).toEqual([])
  })

  test('all mistakes are told at once', async () => {
    const found = await mistakes(['read', 'send'], ['*', 'arn:aws:s3:::a', 'arn:aws:nothing:::a'])
    expect(found).toEqual([
      '/grants/0/objects/0 pattern',
      '/grants/0/objects/2 unknown_service',
      '/grants/0/effects/1 no_action',
    ])
  })

  test('of a target with policies of its own only the form is looked at', async () => {
    const config = { ...CONFIG, policy_arns: ['arn:aws:iam::aws:policy/ReadOnlyAccess'] }
    expect(await mistakes(['read'], ['arn:aws:nothing:::a'], config)).toEqual([])
    // All that they allow, which is what such a target hands over.
    expect(await mistakes(['read'], ['*'], config)).toEqual([])
    expect(await mistakes(['read'], ['**', 'reports'], config)).toEqual([
      '/grants/0/objects/0 pattern',
      '/grants/0/objects/1 pattern',
    ])
  })

  test('a target with mistakes of its own hides none of the grant', async () => {
    for (const role of [undefined, 7, '', 'role/agents']) {
      const config = role === undefined ? {} : { role_arn: role }
      expect(await mistakes(['read'], ['arn:aws-cn:s3:::a', '*'], config)).toEqual([
        '/grants/0/objects/1 pattern',
      ])
    }
  })
})

test('a policy whose binding selects nothing in AWS is not saved', async () => {
  const lake = target({ name: 'lake', type: 'aws-sts', config: CONFIG })
  const check = async (...objects: readonly string[]) => {
    const grants = [{ effects: ['read', 'send'] as const, objects }]
    const found = await checkPolicy(
      {
        auth_methods: [authMethod()],
        targets: [lake],
        bindings: [binding({ target: 'lake', delivery: 'credential', grants })],
        intent_policies: [],
      },
      { ...fakePolicyTypes(), targets: [createAwsStsTarget(stsWorld().deps)] },
    )
    return found.map(({ path, code }) => `${path} ${code}`)
  }
  expect(await check('arn:aws:sns:*:*:alerts')).toEqual([])
  expect(await check('arn:aws:s3:::a', 'GET /v1')).toEqual([
    '/bindings/0/grants/0/objects/1 pattern',
    '/bindings/0/grants/0/effects/1 no_action',
  ])
})
