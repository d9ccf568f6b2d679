import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { OutboundError } from '../../functions/net/outbound.ts'
import { callerDocument, jsonAnswer, type FakeSts, type StsPrincipal } from '../fakes/sts.ts'
import { ACCOUNT, ROLE, USER, ROLE_ARN, sts, verify, signed } from './aws-iam-setup.ts'
import { outcome } from './setup.ts'

describe('what STS answers', () => {
  const answering = async (answer: NonNullable<FakeSts['answer']>, config: JsonObject = {}) => {
    sts.answer = answer
    return outcome(await verify(await signed(), config))
  }
  const good = callerDocument(ROLE)

  it('AW-10 takes a charset beside the type', async () => {
    const type = 'application/json; charset=utf-8'
    expect(await answering(() => jsonAnswer(200, good, type))).toBe('accepted')
  })

  const xml = '<GetCallerIdentityResponse><Arn>x</Arn></GetCallerIdentityResponse>'
  const result = good.GetCallerIdentityResponse.GetCallerIdentityResult
  const wrap = (members: unknown) => ({
    GetCallerIdentityResponse: { GetCallerIdentityResult: members },
  })
  const foreign: readonly (readonly [string, Parameters<typeof jsonAnswer>])[] = [
    ['XML', [200, xml, 'text/xml']],
    ['XML that calls itself JSON', [200, xml]],
    ['JSON that calls itself XML', [200, good, 'text/xml']],
    ['JSON with XML inside', [200, { ...good, Extra: xml }]],
    ['JSON with XML in a member', [200, wrap({ ...result, Arn: xml })]],
    ['HTML', [200, '<html></html>', 'text/html']],
    ['no type', [200, good, '']],
    ['two results', [200, wrap([result, result])]],
    ['a member twice', [200, JSON.stringify(good).replace('"Arn"', '"Arn":"x","Arn"')]],
    ['another member', [200, wrap({ ...result, Role: 'admin' })]],
    ['no account', [200, wrap({ Arn: result.Arn, UserId: result.UserId })]],
    ['a number for the account', [200, wrap({ ...result, Account: 123456789012 })]],
    ['another response', [200, { GetSessionTokenResponse: {} }]],
    ['nothing', [200, '']],
    ['a list', [200, '[]']],
    ['more than 64 KiB', [200, JSON.stringify(good) + ' '.repeat(65_536)]],
    ['invalid UTF-8', [200, Buffer.from([0x7b, 0xff]).toString('latin1')]],
    ['201', [201, good]],
    ['302', [302, good]],
    ['304', [304, '']],
  ]
  it.each(foreign)('AW-10 AWS-1 CVE-2020-16250 refuses %s', async (name, args) => {
    const [status, document, type] = args
    const answer = () =>
      status === 304
        ? { status, headers: [], body: null }
        : jsonAnswer(status, document, type ?? 'application/json')
    const reason = await answering(answer)
    expect(reason).toBe(name === 'JSON with XML in a member' ? 'claim_mismatch' : 'verifier_error')
    expect(sts.seen).toHaveLength(1)
  })

  it('AW-10 refuses an answer that is packed, or of two types', async () => {
    const { status, body, headers } = jsonAnswer(200, good)
    const packed = { status, body, headers: [...headers, ['content-encoding', 'gzip']] as const }
    expect(await answering(() => packed)).toBe('verifier_error')
    const again = jsonAnswer(200, good)
    const twice = { ...again, headers: [...again.headers, ['content-type', 'text/xml']] as const }
    expect(await answering(() => twice)).toBe('verifier_error')
  })

  it.each([400, 401, 403, 404, 418])('AW-11 status %i refuses the caller', async (status) => {
    expect(
      await answering(() => jsonAnswer(status, { Error: { Code: 'InvalidClientTokenId' } })),
    ).toBe('bad_signature')
  })

  it('AW-11 a forged signature is refused by STS', async () => {
    const envelope = await signed({ by: { ...ROLE, secretAccessKey: 'guessed' } })
    expect(outcome(await verify(envelope))).toBe('bad_signature')
  })

  it.each([429, 500, 502, 503, 504])(
    'AW-11 DEP-8 status %i is no verdict on the caller, and is not asked twice',
    async (status) => {
      expect(await answering(() => jsonAnswer(status, {}))).toBe('verifier_unavailable')
      expect(sts.seen).toHaveLength(1)
    },
  )

  it.each(['Throttling', 'ThrottlingException', 'RequestLimitExceeded'])(
    'AW-11 400 %s is no verdict on the caller',
    async (code) => {
      expect(await answering(() => jsonAnswer(400, { Error: { Code: code } }))).toBe(
        'verifier_unavailable',
      )
    },
  )

  it.each([
    'timeout',
    'connect_failed',
    'unresolvable',
    'address_refused',
    'protocol_error',
  ] as const)('AW-11 a call that fails (%s) is no verdict on the caller', async (reason) => {
    const answer = () => Promise.reject(new OutboundError(reason))
    expect(await answering(answer)).toBe('verifier_unavailable')
  })

  it('AW-11 a body that breaks off is no verdict on the caller', async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error('secret header value')),
    })
    const answer = { ...jsonAnswer(200, good), body }
    expect(await answering(() => answer)).toBe('verifier_unavailable')
  })

  const callers: readonly (readonly [string, Partial<StsPrincipal>])[] = [
    ['the root user', { arn: `arn:aws:iam::${ACCOUNT}:root`, userId: ACCOUNT }],
    [
      'a federated user',
      { arn: `arn:aws:sts::${ACCOUNT}:federated-user/bob`, userId: `${ACCOUNT}:bob` },
    ],
    ['a role that nobody assumed', { arn: ROLE_ARN, userId: 'AROAEXAMPLE000000000' }],
    ['an assumed role with a path', { arn: `arn:aws:sts::${ACCOUNT}:assumed-role/a/agent/i-0abc` }],
    ['an assumed role without session', { arn: `arn:aws:sts::${ACCOUNT}:assumed-role/agent` }],
    ['an ARN of another account', { arn: ROLE.arn.replace('1234', '9999') }],
    ['an account of another ARN', { account: '999999999999' }],
    ['an ARN of another partition', { arn: ROLE.arn.replace('arn:aws:', 'arn:aws-cn:') }],
    ['an ARN of no partition', { arn: ROLE.arn.replace('arn:aws:', 'arn:evil:') }],
    ['five parts', { arn: `arn:aws:sts::${ACCOUNT}` }],
    ['seven parts', { arn: `${ROLE.arn}:x` }],
    ['no ARN', { arn: 'arn' }],
    ["a user's id for a role", { userId: 'AIDAEXAMPLE000000000:i-0abc' }],
    ['a user id without session', { userId: 'AROAEXAMPLE000000000' }],
    ["another session's user id", { userId: 'AROAEXAMPLE000000000:i-0abd' }],
    ['a user id in three parts', { userId: 'AROAEXAMPLE000000000:i-0abc:x' }],
    ['no user id', { userId: '' }],
    ['a user with a session', { arn: USER.arn, userId: 'AIDAEXAMPLE000000000:x' }],
  ]
  it.each(callers)('AW-12 refuses %s', async (_name, change) => {
    const document = callerDocument({ ...ROLE, ...change })
    expect(await answering(() => jsonAnswer(200, document))).toBe('claim_mismatch')
  })
})
