// Keys of the broker's own role: what the token says, how long they serve, and what a failure of STS does.
import { inspect } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import type { AssumedRole, AwsFault, WebIdentityInput } from '../../functions/aws/contract.ts'
import { createRoleKeys, SECRETS_SUBJECT } from '../../functions/aws/role-keys.ts'
import { Secret } from '../../functions/core/credential.ts'
import { fail, ok, type Result } from '../../functions/core/result.ts'

const ROLE = 'arn:aws:iam::123456789012:role/sallyport-secrets'
const NOW = 1_800_000_000
const DOWN: AwsFault = { kind: 'unavailable', code: 'timeout', status: null }

let now: number
let signed: { readonly claims: Readonly<Record<string, unknown>>; readonly typ: string }[]
let asked: WebIdentityInput[]
let answer: () => Promise<Result<AssumedRole, AwsFault>>
let keysFor: ReturnType<typeof createRoleKeys>

function role(id: string): AssumedRole {
  return {
    keys: {
      accessKeyId: id,
      secretAccessKey: new Secret('roleSecretCanary', null),
      sessionToken: new Secret('roleTokenCanary', null),
    },
    expiresAt: now + 3600,
    arn: 'arn:aws:sts::123456789012:assumed-role/sallyport-secrets/sallyport-secrets',
    assumedRoleId: 'AROA0:sallyport-secrets',
    sourceIdentity: null,
    requestId: null,
  }
}

beforeEach(() => {
  now = NOW
  signed = []
  asked = []
  answer = async () => ok(role('ASIA1'))
  keysFor = createRoleKeys({
    sts: {
      assumeRoleWithWebIdentity(input) {
        asked.push(input)
        return answer()
      },
    },
    signer: {
      async sign(claims, typ) {
        signed.push({ claims, typ })
        return 'header.tokenCanary.signature'
      },
    },
    roleArn: ROLE,
    env: () => undefined,
    reach: { privateNetwork: false, loopback: false },
    clock: { nowSeconds: () => now, nowMs: () => now * 1000 },
    ids: { fresh: (prefix) => `${prefix}_1` },
  })
})

const idFor = async (region = 'eu-west-1') => {
  const keys = await keysFor(region)
  return keys.ok ? keys.value.accessKeyId : keys.failure.code
}

describe('the role that the broker assumes for itself', () => {
  test('is asked for with a token that is its own and lives for minutes', async () => {
    expect(await idFor()).toBe('ASIA1')
    const claims = {
      sub: SECRETS_SUBJECT,
      aud: 'sts.amazonaws.com',
      iat: NOW,
      exp: NOW + 300,
      jti: 'jti_1',
    }
    expect(signed).toEqual([{ claims, typ: 'JWT' }])
    // Of a target it is `sallyport:{target}`: none can be named so that the two are the same.
    expect(SECRETS_SUBJECT).not.toMatch(/^sallyport:/)
    const [input] = asked
    expect(input).toMatchObject({ roleArn: ROLE, durationSeconds: 3600, policyArns: [] })
    expect(input?.endpoint.url.href).toBe('https://sts.eu-west-1.amazonaws.com/')
    expect(input?.token.revealFor('https://sts.eu-west-1.amazonaws.com')).toContain('tokenCanary')
    expect(input?.token.revealFor('https://sts.us-east-1.amazonaws.com')).toBeNull()
  })

  test('can read secrets and nothing else, whatever the role may', async () => {
    await idFor()
    const { Statement: statements } = JSON.parse(asked[0]?.policy ?? '') as {
      Statement: { Effect: string; Action: string[] }[]
    }
    expect(statements.map(({ Effect, Action }) => [Effect, Action])).toEqual([
      ['Allow', ['secretsmanager:GetSecretValue', 'ssm:GetParameter', 'kms:Decrypt']],
    ])
  })

  test('is assumed once and again five minutes before its keys end', async () => {
    await Promise.all([idFor(), idFor(), idFor()])
    now += 3299
    expect(await idFor()).toBe('ASIA1')
    expect(asked).toHaveLength(1)
    answer = async () => ok(role('ASIA2'))
    now += 1
    expect(await idFor()).toBe('ASIA2')
    expect(asked).toHaveLength(2)
  })

  test('DEP-8: goes on while STS is down until its keys are about to end, and not longer', async () => {
    await idFor()
    answer = async () => fail(DOWN)
    now += 3300
    expect(await idFor()).toBe('ASIA1')
    now += 269
    expect(await idFor()).toBe('ASIA1')
    now += 1
    expect(await idFor()).toBe('timeout')
  })

  test('leaves STS alone for a second after a failure, and is asked for again after it', async () => {
    answer = async () => fail(DOWN)
    for (let i = 0; i < 10; i++) expect(await idFor()).toBe('timeout')
    expect(asked).toHaveLength(1)
    answer = async () => ok(role('ASIA1'))
    now += 1
    expect(await idFor()).toBe('ASIA1')
  })

  test('DEP-8: keys that have ended are no keys, and are not kept', async () => {
    answer = async () => ok({ ...role('ASIA1'), expiresAt: now - 1 })
    expect(await idFor()).toBe('expiration')
    answer = async () => ok({ ...role('ASIA2'), expiresAt: now + 86_400 })
    now += 1
    expect(await idFor()).toBe('ASIA2')
    now += 3300
    answer = async () => ok(role('ASIA3'))
    expect(await idFor()).toBe('ASIA3')
  })

  test('is asked for in one region that is known, or not at all', async () => {
    expect(await idFor('mars-north-1')).toBe('unknown_region')
    expect(asked).toEqual([])
    expect(signed).toEqual([])
  })

  test('LEAK-2: is shown by nothing', async () => {
    const keys = await keysFor('eu-west-1')
    expect(inspect([keys, asked], { depth: 9 }) + JSON.stringify(keys)).not.toMatch(/Canary/)
  })
})
