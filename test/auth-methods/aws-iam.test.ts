import { describe, expect, it } from 'vitest'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import { verifyAttestation } from '../../functions/core/attestation.ts'
import type { CompiledAuthMethod } from '../../functions/core/auth-method.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { PolicySnapshot } from '../../functions/core/snapshot.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { callerDocument, jsonAnswer } from '../fakes/sts.ts'
import {
  ACCOUNT,
  ROLE,
  USER,
  ROLE_ARN,
  ENDPOINT,
  sts,
  typeOf,
  policy,
  mistakes,
  token,
  verify,
  signed,
} from './aws-iam-setup.ts'
import { outcome } from './setup.ts'

describe('attestations that are none', () => {
  it.each(['[]', 'null', '"x"', '7', '{', '{}', '', '{"presigned_url":null}'])(
    'refuses %j in base64url',
    async (text) => {
      const result = outcome(await verify(text))
      expect(['malformed', 'claim_mismatch']).toContain(result)
      expect(sts.seen).toEqual([])
    },
  )

  it('AWS-1 refuses other encodings of the same thing, and what is too long', async () => {
    const text = JSON.stringify(await signed())
    const method = typeOf().compile(policy({}))
    const tokens = [
      text,
      Buffer.from(text).toString('base64'),
      `${token(text)}=`,
      ` ${token(text)}`,
      token(`\ufeff${text}`),
      token(JSON.stringify({ presigned_url: `https://${'x'.repeat(4097)}` })),
      token(text + ' '.repeat(8_192)),
    ]
    for (const one of tokens) {
      const result = await method.verify({ tokenType: TOKEN_TYPES.awsSigV4, token: one })
      expect(outcome(result)).toBe('malformed')
    }
    expect(sts.seen).toEqual([])
  })

  it('TX-05 refuses every other token type', async () => {
    const method = typeOf().compile(policy({}))
    const attestation = { tokenType: TOKEN_TYPES.jwt, token: token(await signed()) }
    expect(outcome(await method.verify(attestation))).toBe('unsupported_type')
    expect(selectAttestation({ ...attestation, tokenType: TOKEN_TYPES.awsSigV4 })).toEqual({
      ok: true,
      value: method.selector,
    })
  })
})

describe('rules of aws-iam', () => {
  const verifyRole = async (config: JsonObject) => outcome(await verify(await signed(), config))

  const rules: readonly (readonly [string, JsonObject, string])[] = [
    ['the role', { roles: [ROLE_ARN] }, 'accepted'],
    ['the role with its path', { roles: [`arn:aws:iam::${ACCOUNT}:role/x/agent`] }, 'accepted'],
    ['any role', { roles: [`arn:aws:iam::${ACCOUNT}:role/*`] }, 'accepted'],
    ['another role', { roles: [`${ROLE_ARN}s`] }, 'claim_mismatch'],
    ['the unique id', { unique_ids: ['AROAEXAMPLE000000000'] }, 'accepted'],
    [
      'a recreated role',
      { roles: [ROLE_ARN], unique_ids: ['AROAEXAMPLE000000001'] },
      'claim_mismatch',
    ],
    ['role and session', { roles: [ROLE_ARN], session_names: ['i-0abc'] }, 'accepted'],
    ['another session', { roles: [ROLE_ARN], session_names: ['i-0ab'] }, 'claim_mismatch'],
    ['another account', { accounts: ['999999999999'] }, 'claim_mismatch'],
    ['a match', { match: { partition: 'aws', region: ['eu-central-1'] } }, 'accepted'],
    ['a match that fails', { match: { unique_id: 'AROA' } }, 'claim_mismatch'],
    ['a match on what is not there', { match: { org_id: 'o-1' } }, 'claim_mismatch'],
  ]
  it.each(rules)('AW-13 AW-14 %s: %j is %s', async (_name, config, expected) => {
    expect(await verifyRole(config)).toBe(expected)
  })

  it('AW-13 a role of the same name in another account is another role', async () => {
    const other = '999999999999'
    sts.answer = () =>
      jsonAnswer(
        200,
        callerDocument({ ...ROLE, account: other, arn: ROLE.arn.replace(ACCOUNT, other) }),
      )
    const config = { accounts: [ACCOUNT, other], roles: [ROLE_ARN] }
    expect(await verifyRole(config)).toBe('claim_mismatch')
  })

  it('users are no roles', async () => {
    const envelope = await signed({ by: USER })
    expect(outcome(await verify(envelope, { roles: [`arn:aws:iam::${ACCOUNT}:role/*`] }))).toBe(
      'claim_mismatch',
    )
    expect(outcome(await verify(envelope, { unique_ids: ['AIDAEXAMPLE000000000'] }))).toBe(
      'accepted',
    )
  })

  it('accepts() holds an open session to the rules of now', async () => {
    const result = await verify(await signed())
    const claims = result.ok ? result.value.claims : {}
    const accepts = (config: JsonObject) => typeOf().compile(policy(config)).accepts(claims)
    expect(accepts({})).toBe(true)
    expect(accepts({ roles: [ROLE_ARN] })).toBe(true)
    expect(accepts({ roles: [`${ROLE_ARN}2`] })).toBe(false)
    expect(accepts({ accounts: ['999999999999'] })).toBe(false)
    expect(accepts({ regions: ['us-east-1'] })).toBe(false)
    expect(accepts({ unique_ids: ['AROAEXAMPLE000000001'] })).toBe(false)
    expect(accepts({ match: { role: 'x' } })).toBe(false)
  })
})

describe('several methods', () => {
  function snapshotOf(methods: readonly CompiledAuthMethod[]): PolicySnapshot {
    return {
      revision: 1,
      methods: new Map(methods.map((method) => [method.name, method])),
      userMethods: new Set(),
      methodsBySelector: new Map([[`token_type ${TOKEN_TYPES.awsSigV4}`, methods]]),
      targets: new Map(),
      intentPolicies: new Map(),
    }
  }
  const attest = async (configs: readonly JsonObject[], envelope: unknown) => {
    const type = typeOf()
    const methods = configs.map((config, i) => type.compile(policy(config, `aws-${i}`)))
    const attestation = { tokenType: TOKEN_TYPES.awsSigV4, token: token(envelope) }
    const input = { snapshot: snapshotOf(methods), authMethod: null, select: selectAttestation }
    return verifyAttestation(attestation, input)
  }

  it('STS is asked once for one attestation, and exactly one method accepts', async () => {
    const configs = [{ roles: [`${ROLE_ARN}2`] }, { roles: [ROLE_ARN] }, { regions: ['us-east-1'] }]
    const result = await attest(configs, await signed())
    expect(result.ok && result.value.method).toBe('aws-1')
    expect(sts.seen).toHaveLength(1)
  })

  it('two methods that accept are one too many', async () => {
    const result = await attest([{}, { roles: [ROLE_ARN] }], await signed())
    expect(outcome(result)).toBe('ambiguous_method')
  })

  it('AW-11 STS that cannot be asked outranks a method that refuses by itself', async () => {
    sts.answer = () => jsonAnswer(503, {})
    expect(outcome(await attest([{}, { regions: ['us-east-1'] }], await signed()))).toBe(
      'verifier_unavailable',
    )
    expect(outcome(await attest([{ regions: ['us-east-1'] }, {}], await signed()))).toBe(
      'verifier_unavailable',
    )
  })
})

describe('configuration of aws-iam', () => {
  it('a valid one has no mistakes', () => {
    expect(mistakes({})).toEqual([])
    expect(
      mistakes({ roles: [ROLE_ARN], session_names: ['x-1'], unique_ids: ['AROAEXAMPLE000000000'] }),
    ).toEqual([])
    const partitions = [
      'cn-north-1',
      'us-gov-west-1',
      'us-iso-east-1',
      'eusc-de-east-1',
      'aws-global',
    ]
    expect(mistakes({ regions: partitions })).toEqual([])
  })

  it('every mistake is reported at once', () => {
    const config = { accounts: ['*'], regions: ['moon-1', 'us-east-1.evil.com'], audience: 'x' }
    expect(mistakes(config)).toEqual([
      '/config/audience unknown_member',
      '/config/accounts/0 format',
      '/config/regions/0 value',
      '/config/regions/1 value',
    ])
    expect(mistakes({ accounts: null, regions: [] })).toEqual([
      '/config/accounts required',
      '/config/regions range',
    ])
  })

  it.each([
    [`arn:aws:iam::*:role/x`, 'unsafe'],
    [`arn:aws:iam::${ACCOUNT}:role/agents/*`, 'unsafe'],
    [`arn:aws:iam::${ACCOUNT}:role/agent-*`, 'format'],
    [`arn:aws:sts::${ACCOUNT}:assumed-role/x/y`, 'format'],
    ['arn:aws:iam::999999999999:role/x', 'value'],
  ])('AW-13 CVE-2025-11621 the role %s is refused when it is saved (%s)', (role, code) => {
    expect(mistakes({ roles: [role] })).toEqual([`/config/roles/0 ${code}`])
  })

  it('AW-14 a session name never decides alone', () => {
    const session_names = ['deploy']
    expect(mistakes({ session_names })).toEqual(['/config/session_names unsafe'])
    expect(mistakes({ session_names, roles: [`arn:aws:iam::${ACCOUNT}:role/*`] })).toEqual([
      '/config/session_names unsafe',
    ])
    expect(mistakes({ match: { session_name: 'deploy' } })).toEqual([
      '/config/match/session_name unsafe',
    ])
    expect(mistakes({ match: { '/session_name': 'deploy' } })).toEqual([
      '/config/match/~1session_name unsafe',
    ])
    expect(mistakes({ session_names, roles: [ROLE_ARN] })).toEqual([])
    expect(mistakes({ session_names: ['*'], roles: [ROLE_ARN] })).toEqual([
      '/config/session_names/0 format',
    ])
  })

  it.each([
    'AROA',
    'AROA*',
    'AKIAUSER00000000000B',
    'aroaexample000000000',
    `AROAEXAMPLE000000000:x`,
  ])('AW-13 the unique id %s is refused', (id) => {
    expect(mistakes({ unique_ids: [id] })).toEqual(['/config/unique_ids/0 format'])
  })

  it('RB-08 sts_endpoint is for development, and for loopback', () => {
    expect(mistakes({ sts_endpoint: 'http://127.0.0.1:5000' })).toEqual([
      '/config/sts_endpoint unsafe',
    ])
    expect(mistakes({ sts_endpoint: 'http://127.0.0.1:5000' }, true)).toEqual([])
    expect(mistakes({ sts_endpoint: 'https://localhost:5000' }, true)).toEqual([])
    for (const url of ['https://evil.com', 'http://10.0.0.1', 'http://169.254.169.254']) {
      expect(mistakes({ sts_endpoint: url }, true)).toEqual(['/config/sts_endpoint unsafe'])
    }
    for (const url of [
      '127.0.0.1',
      'http://127.0.0.1:5000/',
      'http://u@127.0.0.1',
      'ftp://127.0.0.1',
    ]) {
      expect(mistakes({ sts_endpoint: url }, true)).toHaveLength(1)
    }
  })

  it('RB-08 with sts_endpoint nothing else is called, and AWS is not', async () => {
    const config = { sts_endpoint: 'http://127.0.0.1:5000' }
    const method = typeOf(true).compile(policy(config))
    const run = async (url: string) =>
      method.verify({ tokenType: TOKEN_TYPES.awsSigV4, token: token(await signed({ url })) })
    expect(outcome(await run(ENDPOINT))).toBe('claim_mismatch')
    expect(sts.seen).toEqual([])
    expect(outcome(await run('http://127.0.0.1:5000/'))).toBe('accepted')
    expect(sts.seen[0]?.reach).toEqual({ privateNetwork: false, loopback: true })
  })
})
