import { describe, expect, test } from 'vitest'
import { ok } from '../../functions/core/result.ts'
import { createParameterStoreSource } from '../../functions/secrets/aws-ssm.ts'
import { awsSourceWorld } from './aws-source.ts'

const CANARY = 'canary-91be0f33'
const ORIGIN = 'https://crm.example'
const ARN = 'arn:aws:ssm:us-east-1:123456789012:parameter/prod/crm'

function source(region?: string | null) {
  const { world, deps } = awsSourceWorld(region)
  return { world, source: createParameterStoreSource(deps) }
}

describe('a reference', () => {
  test.each([
    ['/prod/crm', '/prod/crm', 'eu-west-1'],
    ['crm.token', 'crm.token', 'eu-west-1'],
    ['/prod/crm:3', '/prod/crm:3', 'eu-west-1'],
    ['/prod/crm:live', '/prod/crm:live', 'eu-west-1'],
    [ARN, ARN, 'us-east-1'],
    [`${ARN}:3`, `${ARN}:3`, 'us-east-1'],
    [`${ARN}:live`, `${ARN}:live`, 'us-east-1'],
  ])('%s is asked for where it is', async (reference, name, region) => {
    const { world, source: secrets } = source()
    world.answer = ok(CANARY)
    const read = await secrets.read(reference)
    expect(read.ok && read.value.revealFor(ORIGIN)).toBe(CANARY)
    expect(world.asked).toEqual([{ service: 'ssm', region, name }])
  })

  test.each([
    '',
    ':3',
    '/',
    'prod/crm',
    '/prod crm',
    '/prod/crm:',
    '/prod/crm:0',
    '/prod/crm:03',
    '/prod/crm:1:2',
    '/prod/crm:1a',
    '/prod/crm?stage=AWSCURRENT',
    '/prod/crm#',
    '/aws/reference/secretsmanager/crm',
    '//aws/reference/secretsmanager/crm',
    '/AWS/service/x',
    'arn:aws:ssm:us-east-1:123456789012:parameter/aws/reference/secretsmanager/crm',
    'arn:aws:ssm:us-east-1:123456789012:parameter',
    'arn:aws:ssm:us-east-1:123456789012:document/x',
    'arn:aws:ssm:us-gov-west-1:123456789012:parameter/x',
    'arn:aws:secretsmanager:us-east-1:123456789012:secret:x',
  ])('%j is malformed, and AWS is not asked', async (name) => {
    const { world, source: secrets } = source()
    expect(await secrets.read(name)).toMatchObject({
      ok: false,
      failure: { reason: 'malformed', reference: `aws-ssm:${name}` },
    })
    expect(world.asked).toEqual([])
  })

  test('without a region has to be an ARN', async () => {
    const { source: secrets } = source(null)
    expect(await secrets.inspect?.('/prod/crm')).toMatchObject({ reason: 'malformed' })
    expect(await secrets.inspect?.(ARN)).toBeNull()
  })
})

test('a member of a JSON value is found behind #', async () => {
  const { world, source: secrets } = source()
  world.answer = ok(JSON.stringify({ db: { password: CANARY } }))
  const read = await secrets.read('/prod/crm:3#/db/password')
  expect(read.ok && read.value.revealFor(ORIGIN)).toBe(CANARY)
  expect(world.asked).toEqual([{ service: 'ssm', region: 'eu-west-1', name: '/prod/crm:3' }])
})
