// One contract for both adapters of the port to Secrets Manager and the Parameter Store: what is sent, and the
// one form of answer that is believed. The transport is given, so that every fault can be.
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { AwsKeys } from '../../functions/aws/contract.ts'
import type {
  AwsSecretQuestion,
  CreateReadAwsSecret,
  ReadAwsSecretDeps,
} from '../../functions/aws/secrets-contract.ts'
import { createFetchSecrets } from '../../functions/aws/secrets-fetch.ts'
import { createSdkSecrets } from '../../functions/aws/secrets-sdk.ts'
import { Secret } from '../../functions/core/credential.ts'
import { fail, ok } from '../../functions/core/result.ts'
import {
  OutboundError,
  type OutboundRequest,
  type OutboundResponse,
} from '../../functions/net/outbound.ts'
import { readSignature } from '../fakes/sigv4.ts'

const NOW = Date.parse('2026-11-22T10:00:00Z')
const SECRET_KEY = 'brokerSecretCanary1234567890abcdefABCDEF'
const BROKER_TOKEN = 'brokerSessionCanary=='
const VALUE = 'storedValueCanary'
const TYPE = 'application/x-amz-json-1.1'

const keys: AwsKeys = {
  accessKeyId: 'ASIABROKER0000000001',
  secretAccessKey: new Secret(SECRET_KEY, null),
  sessionToken: new Secret(BROKER_TOKEN, null),
}

const SECRET: AwsSecretQuestion = {
  service: 'secretsmanager',
  region: 'eu-west-1',
  id: 'crm/token',
}
const PARAMETER: AwsSecretQuestion = { service: 'ssm', region: 'eu-west-1', name: '/crm/token:3' }

type Answer = {
  readonly status?: number
  readonly type?: string | null
  readonly body?: string | Uint8Array
  readonly headers?: readonly (readonly [string, string])[]
}

const json = (value: unknown): Answer => ({ body: JSON.stringify(value) })
const refusal = (code: string, status = 400): Answer => ({
  status,
  body: JSON.stringify({ __type: code, Message: `no: ${VALUE}`, message: `no: ${VALUE}` }),
})

const adapters: readonly (readonly [string, CreateReadAwsSecret])[] = [
  ['aws4fetch', createFetchSecrets],
  ['sdk', createSdkSecrets],
]

describe.each(adapters)('secrets of AWS by %s', (_name, create) => {
  function world(
    answer: Answer | ((request: OutboundRequest) => Promise<OutboundResponse>),
    given: Partial<ReadAwsSecretDeps> = {},
  ) {
    const sent: OutboundRequest[] = []
    const outbound = async (request: OutboundRequest): Promise<OutboundResponse> => {
      sent.push(request)
      if (typeof answer === 'function') return answer(request)
      const { status = 200, type = TYPE, body = '', headers = [] } = answer
      const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
      const typed: [string, string][] = type === null ? [] : [['content-type', type]]
      return {
        status,
        headers: [...typed, ...headers.map(([n, v]): [string, string] => [n, v])],
        body: new Response(Uint8Array.from(bytes)).body,
      }
    }
    const read = create({
      outbound,
      clock: { nowMs: () => NOW, nowSeconds: () => NOW / 1000 },
      reach: { privateNetwork: false, loopback: false },
      env: () => undefined,
      keys: async () => ok(keys),
      ...given,
    })
    return { read, sent }
  }

  const bodyOf = (request: OutboundRequest | undefined) =>
    JSON.parse(new TextDecoder().decode(request?.body as Uint8Array)) as Record<string, unknown>

  test.each([
    [SECRET, 'secretsmanager.GetSecretValue', { SecretId: 'crm/token' }],
    [
      { ...SECRET, stage: 'AWSPREVIOUS' },
      'secretsmanager.GetSecretValue',
      { SecretId: 'crm/token', VersionStage: 'AWSPREVIOUS' },
    ],
    [
      { ...SECRET, version: 'a'.repeat(32) },
      'secretsmanager.GetSecretValue',
      { SecretId: 'crm/token', VersionId: 'a'.repeat(32) },
    ],
    [PARAMETER, 'AmazonSSM.GetParameter', { Name: '/crm/token:3', WithDecryption: true }],
  ])('asks the regional host once, signed: %j', async (question, target, body) => {
    const { read, sent } = world(
      json({ SecretString: VALUE, Parameter: { Type: 'SecureString', Value: VALUE } }),
    )
    expect(await read(question)).toEqual(ok(VALUE))
    expect(sent).toHaveLength(1)
    const [request] = sent
    const { service } = question
    expect(request?.url.href).toBe(`https://${service}.eu-west-1.amazonaws.com/`)
    const headers = Object.fromEntries(
      (request?.headers ?? []).map(([name, value]) => [name.toLowerCase(), value]),
    )
    expect(headers).toMatchObject({ 'x-amz-target': target, 'content-type': TYPE })
    expect(bodyOf(request)).toEqual(body)
    const signature = readSignature({
      method: 'POST',
      target: '/',
      headers: [
        ...(request?.headers.filter(([name]) => name.toLowerCase() !== 'host') ?? []),
        ['host', request?.url.host ?? ''],
      ],
      body: new TextDecoder().decode(request?.body as Uint8Array),
    })
    expect(signature?.claimed).toBe(signature?.compute(SECRET_KEY))
    expect(signature?.scope.split('/').slice(1)).toEqual(['eu-west-1', service, 'aws4_request'])
    expect(signature?.securityToken).toBe(BROKER_TOKEN)
  })

  test('asks an endpoint that the environment names, and none that is not https', async () => {
    const env = (name: string) =>
      ({ AWS_ENDPOINT_URL_SSM: 'https://vpce-1.ssm.example', AWS_ENDPOINT_URL: 'http://10.0.0.1' })[
        name
      ]
    const { read, sent } = world(json({ Parameter: { Type: 'SecureString', Value: VALUE } }), {
      env,
    })
    expect((await read(PARAMETER)).ok).toBe(true)
    expect(sent[0]?.url.href).toBe('https://vpce-1.ssm.example/')
    expect(await read(SECRET)).toMatchObject({ failure: { kind: 'endpoint', code: 'scheme' } })
    expect(sent).toHaveLength(1)
  })

  test('asks nobody in a region that is not known', async () => {
    const { read, sent } = world(json({}))
    expect(await read({ ...SECRET, region: 'eu-west-1.evil.example' })).toMatchObject({
      failure: { kind: 'endpoint', code: 'unknown_region' },
    })
    expect(sent).toEqual([])
  })

  test('asks nobody without keys', async () => {
    const none = { kind: 'no_credentials', code: 'none', status: null } as const
    const { read, sent } = world(json({}), { keys: async () => fail(none) })
    expect(await read(SECRET)).toEqual(fail(none))
    expect(sent).toEqual([])
  })

  test('asks for the keys at each question: they rotate', async () => {
    let asked = 0
    const { read, sent } = world(json({ SecretString: VALUE }), {
      keys: async () => ok({ ...keys, accessKeyId: `ASIA000000000000000${++asked}` }),
    })
    await read(SECRET)
    await read(SECRET)
    const ids = sent.map(
      ({ headers }) =>
        /Credential=(\w+)/.exec(
          headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1] ?? '',
        )?.[1],
    )
    expect(ids).toEqual(['ASIA0000000000000001', 'ASIA0000000000000002'])
  })

  test.each([64 * 1024, 64 * 1024 - 1])('takes a value of %i bytes', async (length) => {
    const { read } = world(json({ SecretString: '\u0001'.repeat(length) }))
    const answer = await read(SECRET)
    expect(answer.ok && answer.value.length).toBe(length)
  })

  const unusable = (code: string) => ({ kind: 'unusable', code })
  const foreign = (code: string) => ({ kind: 'foreign', code })
  const faults: readonly (readonly [string, AwsSecretQuestion, Answer, object])[] = [
    ['a binary secret', SECRET, json({ SecretBinary: 'Y2FuYXJ5' }), unusable('binary')],
    [
      'a value that is too long',
      SECRET,
      json({ SecretString: 'é'.repeat(32 * 1024 + 1) }),
      unusable('too_large'),
    ],
    [
      'a String',
      PARAMETER,
      json({ Parameter: { Type: 'String', Value: VALUE } }),
      unusable('not_secure_string'),
    ],
    [
      'a StringList',
      PARAMETER,
      json({ Parameter: { Type: 'StringList', Value: VALUE } }),
      unusable('not_secure_string'),
    ],
    ['a secret without a value', SECRET, json({ Name: 'crm/token' }), foreign('shape')],
    ['no parameter', PARAMETER, json({}), foreign('shape')],
    [
      'a missing secret',
      SECRET,
      refusal('ResourceNotFoundException'),
      { kind: 'not_found', code: 'ResourceNotFoundException' },
    ],
    [
      'a missing secret, told at length',
      SECRET,
      refusal('com.amazonaws.secretsmanager#ResourceNotFoundException:http://internal'),
      { kind: 'not_found', code: 'ResourceNotFoundException' },
    ],
    [
      'a missing parameter',
      PARAMETER,
      refusal('ParameterNotFound'),
      { kind: 'not_found', code: 'ParameterNotFound' },
    ],
    [
      'a missing version',
      PARAMETER,
      refusal('ParameterVersionNotFound'),
      { kind: 'not_found', code: 'ParameterVersionNotFound' },
    ],
    [
      'access denied',
      SECRET,
      refusal('AccessDeniedException'),
      { kind: 'refused', code: 'AccessDeniedException' },
    ],
    [
      'throttling',
      SECRET,
      refusal('ThrottlingException'),
      { kind: 'throttled', code: 'ThrottlingException' },
    ],
    ['429 of a proxy', SECRET, { status: 429, type: 'text/html' }, { kind: 'throttled' }],
    [
      '500',
      SECRET,
      refusal('InternalServiceError', 500),
      { kind: 'unavailable', code: 'InternalServiceError' },
    ],
    ['503 of a proxy', SECRET, { status: 503, type: 'text/html' }, { kind: 'unavailable' }],
    [
      'ended keys',
      SECRET,
      refusal('ExpiredTokenException'),
      { kind: 'expired_token', code: 'ExpiredTokenException' },
    ],
    ['nothing', SECRET, { body: '' }, foreign('empty')],
    ['HTML', SECRET, { type: 'text/html', body: '<html>' }, foreign('content_type')],
    ['HTML as JSON', SECRET, { body: '<html>' }, foreign('not_json')],
    ['no type', SECRET, { type: null, body: '{}' }, foreign('content_type')],
    ['a list', SECRET, { body: '[]' }, foreign('not_json')],
    [
      'a member twice',
      SECRET,
      { body: `{"SecretString":"a","SecretString":"${VALUE}"}` },
      foreign('not_json'),
    ],
    ['no UTF-8', SECRET, { body: new Uint8Array([0x7b, 0xff]) }, foreign('charset')],
    [
      'a packed answer',
      SECRET,
      { ...json({ SecretString: VALUE }), headers: [['content-encoding', 'gzip']] },
      foreign('encoded'),
    ],
    [
      'a redirect',
      SECRET,
      { status: 307, headers: [['location', 'https://evil.example/']] },
      foreign('redirect'),
    ],
    ['a huge answer', SECRET, json({ SecretString: 'a'.repeat(600 * 1024) }), foreign('too_large')],
    ['a refusal without a code', SECRET, { status: 400, body: '{}' }, foreign('shape')],
  ]

  test.each(faults)(
    '%s is a fault that repeats nothing',
    async (_what, question, answer, fault) => {
      const { read, sent } = world(answer)
      const result = await read(question)
      expect(result).toMatchObject({ ok: false, failure: fault })
      expect(sent).toHaveLength(1)
      expect(inspect(result, { depth: 9 })).not.toMatch(/canary/i)
    },
  )

  test.each(['timeout', 'connect_failed', 'address_refused', 'unresolvable'] as const)(
    'a transport that says %s is a fault, and nobody else is asked',
    async (reason) => {
      const { read, sent } = world(() => Promise.reject(new OutboundError(reason)))
      expect(await read(SECRET)).toMatchObject({ failure: { kind: 'unavailable', code: reason } })
      expect(sent).toHaveLength(1)
    },
  )

  test('an answer that breaks off is a fault', async () => {
    const { read } = world(async () => ({
      status: 200,
      headers: [['content-type', TYPE]],
      body: new ReadableStream({
        pull(controller) {
          controller.error(new Error(`cut: ${VALUE}`))
        },
      }),
    }))
    const result = await read(SECRET)
    expect(result).toMatchObject({ ok: false, failure: { kind: 'unavailable' } })
    expect(inspect(result)).not.toContain(VALUE)
  })
})
