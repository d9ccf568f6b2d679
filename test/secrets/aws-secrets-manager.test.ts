import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { AwsSecretFault } from '../../functions/aws/secrets-contract.ts'
import { fail, ok } from '../../functions/core/result.ts'
import { createSecretsManagerSource } from '../../functions/secrets/aws-secrets-manager.ts'
import { awsSourceWorld } from './aws-source.ts'

const CANARY = 'canary-5c0d9a17'
const ORIGIN = 'https://crm.example'
const ARN = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/crm-AbCdEf'
const VERSION = 'EXAMPLE1-90ab-cdef-fedc-ba987SECRET1'

function source(region?: string | null) {
  const { world, deps } = awsSourceWorld(region)
  return { world, source: createSecretsManagerSource(deps) }
}

describe('a reference', () => {
  test.each([
    ['crm', { id: 'crm', region: 'eu-west-1' }],
    ['prod/crm_1+=.@-x', { id: 'prod/crm_1+=.@-x', region: 'eu-west-1' }],
    [ARN, { id: ARN, region: 'us-east-1' }],
    ['crm?stage=AWSPREVIOUS', { id: 'crm', region: 'eu-west-1', stage: 'AWSPREVIOUS' }],
    [`${ARN}?version=${VERSION}`, { id: ARN, region: 'us-east-1', version: VERSION }],
    [
      'arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x',
      { id: 'arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x', region: 'cn-north-1' },
    ],
  ])('%s is asked for where it is', async (name, question) => {
    const { world, source: secrets } = source()
    world.answer = ok(CANARY)
    const read = await secrets.read(name)
    expect(read.ok && read.value.revealFor(ORIGIN)).toBe(CANARY)
    expect(world.asked).toEqual([{ service: 'secretsmanager', ...question }])
  })

  test.each([
    '',
    'a b',
    'crm?',
    'crm?stage=',
    'crm?stage=a b',
    'crm?version=short',
    'crm?region=us-east-1',
    'crm?stage=A?stage=B',
    `crm?stage=A?version=${VERSION}`,
    'crm#',
    'crm#%',
    'crm#/a~2b',
    `crm#${'/a'.repeat(17)}`,
    'crm%2Fother',
    '../crm?x',
    'crm:3',
    'a'.repeat(513),
    'arn:aws:secretsmanager:us-east-1:123456789012:secret',
    'arn:aws:secretsmanager:us-east-1:123456789012:secret:',
    'arn:aws:secretsmanager::123456789012:secret:x',
    'arn:aws:secretsmanager:us-east-1:12345:secret:x',
    'arn:aws:secretsmanager:mars-north-1:123456789012:secret:x',
    'arn:aws:secretsmanager:cn-north-1:123456789012:secret:x',
    'arn:evil:secretsmanager:us-east-1:123456789012:secret:x',
    'arn:aws:ssm:us-east-1:123456789012:parameter/x',
    'arn:aws:secretsmanager:us-east-1.evil.example:123456789012:secret:x',
  ])('%j is malformed, and AWS is not asked', async (name) => {
    const { world, source: secrets } = source()
    const expected = { reason: 'malformed', reference: `aws-secrets-manager:${name}` }
    for (const fault of [
      await secrets.read(name),
      await secrets.readStored?.(name),
      { ok: false, failure: await secrets.inspect?.(name) },
    ]) {
      expect(fault).toMatchObject({ ok: false, failure: expected })
    }
    secrets.doubt?.(name)
    expect(world.asked).toEqual([])
  })

  test('without a region has to be an ARN', async () => {
    const { world, source: secrets } = source(null)
    expect(await secrets.read('crm')).toMatchObject({ failure: { reason: 'malformed' } })
    world.answer = ok(CANARY)
    expect((await secrets.read(ARN)).ok).toBe(true)
  })

  test('is inspected without AWS being asked', async () => {
    const { world, source: secrets } = source()
    expect(await secrets.inspect?.('crm#password')).toBeNull()
    expect(world.asked).toEqual([])
  })
})

describe('a member of a JSON value', () => {
  const document = JSON.stringify({
    password: CANARY,
    db: { 'a/b': { '~': CANARY } },
    list: ['x', CANARY],
    'clé d’or': CANARY,
    number: 7,
    empty: '',
    none: null,
  })
  const read = async (key: string, text = document) => {
    const { world, source: secrets } = source()
    world.answer = ok(text)
    const secret = await secrets.read(`crm#${key}`)
    return secret.ok ? secret.value.revealFor(ORIGIN) : secret.failure.reason
  }

  test.each([
    'password',
    '/password',
    '/db/a~1b/~0',
    '/list/1',
    encodeURIComponent('clé d’or'),
    `/${encodeURIComponent('clé d’or')}`,
  ])('#%s is found', async (key) => {
    expect(await read(key)).toBe(CANARY)
  })

  test.each([
    'other',
    'constructor',
    '__proto__',
    'toString',
    '/db/length',
    '/list/2',
    '/list/01',
    '/list/length',
    '/password/0',
    '/password/length',
    '/',
  ])('#%s is not there', async (key) => {
    expect(await read(key)).toBe('not_found')
  })

  test.each(['number', 'none', 'db', 'list', 'empty'])(
    '#%s is nothing that can be sent',
    async (key) => {
      expect(await read(key)).toBe('unreadable')
    },
  )

  test.each(['plain text', '', '{"password":', `{"password":"a","password":"${CANARY}"}`])(
    'is not looked for in %j',
    async (text) => {
      expect(await read('password', text)).toBe('unreadable')
    },
  )

  test('two of one secret cost one call', async () => {
    const { world, source: secrets } = source()
    world.answer = ok(document)
    await secrets.read('crm#password')
    await secrets.read('crm#/list/0')
    expect(world.asked).toHaveLength(1)
  })
})

describe('a value', () => {
  test.each(['', 'line\n', 'a\u0000b', '\u007f', '\u0085', 'lone \ud800'])(
    '%j is refused by name',
    async (text) => {
      const { world, source: secrets } = source()
      world.answer = ok(text)
      expect(await secrets.read('crm')).toMatchObject({
        failure: { reason: 'unreadable', reference: 'aws-secrets-manager:crm' },
      })
    },
  )

  test('goes where the object goes that names it: it has no origins of its own', async () => {
    const { world, source: secrets } = source()
    world.answer = ok(CANARY)
    const read = await secrets.read('crm')
    expect(read.ok && read.value.allowedOrigins).toBeNull()
  })

  test('is one object for as long as it is one value', async () => {
    const { world, source: secrets } = source()
    world.answer = ok(CANARY)
    const first = await secrets.read('crm')
    world.nowMs += 60_000
    const second = await secrets.read('crm')
    expect(first.ok && second.ok && first.value === second.value).toBe(true)
    expect(world.asked).toHaveLength(2)
  })
})

describe('a refusal of AWS', () => {
  const of = (kind: string, code: string) => ({ kind, code, status: 400 }) as AwsSecretFault
  test.each([
    [of('not_found', 'ResourceNotFoundException'), 'not_found'],
    [of('refused', 'InvalidRequestException'), 'not_found'],
    [of('refused', 'AccessDeniedException'), 'not_allowed'],
    [of('refused', 'DecryptionFailure'), 'not_allowed'],
    [of('refused', 'ValidationException'), 'malformed'],
    [of('refused', 'UnrecognizedClientException'), 'unconfigured'],
    [of('refused', 'AccessDenied'), 'unconfigured'],
    [of('refused', 'constructor'), 'unconfigured'],
    [of('no_credentials', 'none'), 'unconfigured'],
    [of('token_rejected', 'InvalidIdentityToken'), 'unconfigured'],
    [of('expired_token', 'ExpiredTokenException'), 'unconfigured'],
    [{ kind: 'endpoint', code: 'scheme' } as const, 'unconfigured'],
    [{ kind: 'unusable', code: 'binary' } as const, 'unreadable'],
    [of('throttled', 'ThrottlingException'), 'unavailable'],
    [of('unavailable', 'timeout'), 'unavailable'],
    [of('foreign', 'redirect'), 'unavailable'],
  ])('%j is told as %s, with the reference and nothing of an answer', async (fault, reason) => {
    const { world, source: secrets } = source()
    world.answer = fail(fault)
    const reference = 'aws-secrets-manager:prod/crm#password'
    expect(await secrets.read('prod/crm#password')).toMatchObject({
      failure: { reason, reference },
    })
    const { kind, code } = fault
    expect(world.logged).toEqual([
      ['warn', 'a secret was not read', { reference, reason, kind, code }],
    ])
  })

  test('is asked about again where a policy is saved', async () => {
    const { world, source: secrets } = source()
    world.answer = fail(of('not_found', 'ResourceNotFoundException'))
    expect((await secrets.read('crm#a')).ok).toBe(false)
    world.answer = ok('{"a":"1"}')
    expect((await secrets.readStored?.('crm#a'))?.ok).toBe(true)
    // A member that was added a moment ago.
    world.answer = ok('{"a":"1","b":"2"}')
    expect((await secrets.readStored?.('crm#b'))?.ok).toBe(true)
    expect(world.asked).toHaveLength(3)
  })
})

test('LEAK-2: nothing of a secret is shown by what holds it', async () => {
  const { world, source: secrets } = source()
  world.answer = ok(JSON.stringify({ password: CANARY, broken: `${CANARY}\n` }))
  const shown = [
    await secrets.read('crm#password'),
    await secrets.read('crm#broken'),
    await secrets.read('crm#missing'),
    await secrets.read('crm'),
    secrets,
    world.logged,
  ].map((one) => inspect(one, { depth: 9, showHidden: true }) + JSON.stringify(one))
  expect(shown.slice(0, 3).join('') + shown.slice(4).join('')).not.toContain(CANARY)
})
