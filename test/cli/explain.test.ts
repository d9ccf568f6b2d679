// `sallyport explain`: the broker's own rules, offline, and no word of the token itself.
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TokenIssuer, tokenIssuer } from '../fakes/token-issuer.ts'
import { cli, type Cli } from './rig.ts'

const ISSUER = 'https://idp.example'
const POLICY = `
auth_methods:
  - name: ci
    type: oidc
    config:
      issuer: ${ISSUER}
      audiences: [sallyport]
      match:
        team: [support, billing]
        ref: { glob: 'repo:acme/*:ref:**' }
  - name: aws
    type: aws-iam
    config: { accounts: ['111122223333'], regions: [us-east-1] }
  - name: saas
    type: oauth-introspection
    config: { userinfo_endpoint: 'https://saas.example/me', match: { hd: acme.example } }
targets:
  - name: crm
    type: http
    config: { base_url: 'https://crm.example' }
    credential: { inject: bearer, secret: 'sealed:crm-key' }
bindings:
  - name: support-crm
    auth_method: ci
    target: crm
    condition: claims.team == "support"
    grants: [{ effects: [read], objects: ['GET /v1/**'] }]
  - name: billing-crm
    auth_method: ci
    target: crm
    condition: claims.team == "billing"
    grants: [{ effects: [read], objects: ['GET /v1/**'] }]
`

let issuer: TokenIssuer
let sallyport: Cli

beforeAll(async () => {
  issuer = await tokenIssuer('ES256')
})

beforeEach(() => {
  sallyport = cli()
  sallyport.files['policy.yaml'] = POLICY
})

function token(claims: Readonly<Record<string, unknown>> = {}, header?: string): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const payload = { iss: ISSUER, sub: 'job-7', aud: 'sallyport', iat: now, exp: now + 600 }
  const own = { team: 'support', ref: 'repo:acme/app:ref:main' }
  return issuer.sign(JSON.stringify({ ...payload, ...own, ...claims }), header)
}

async function explained(text: string, ...args: readonly string[]) {
  sallyport.files['token'] = `${text}\n`
  const ran = await sallyport.run(
    'explain',
    '--policy',
    'policy.yaml',
    '--token-file',
    'token',
    ...args,
  )
  const [, , signature] = text.split('.')
  expect(ran.out + ran.err).not.toContain(text)
  if (signature !== undefined) expect(ran.out + ran.err).not.toContain(signature)
  return ran
}

type Check = { check: string; ok: boolean; reason?: string; claim?: string }
type Method = { method: string; verdict: string; checks: Check[] }

async function report(text: string, ...args: readonly string[]) {
  const ran = await explained(text, '--json', ...args)
  const body = JSON.parse(ran.out) as { methods: Method[]; accepted_by: string[] }
  const failed = body.methods.flatMap(({ checks }) => checks.filter(({ ok }) => !ok))
  return { ...ran, body, failed }
}

describe('a JWT', () => {
  test('that one method would take: 0, and it says that the signature is not checked', async () => {
    const { exitCode, out } = await explained(await token())
    expect(out).toContain('ci (oidc): accepts')
    expect(out).toContain('not checked: the signature')
    expect(out).toMatch(/pass +match team +got "support"/)
    expect(out).toContain('binding support-crm (allow crm) holds')
    expect(out).toContain(
      'binding billing-crm (allow crm) does not hold: its condition is not true',
    )
    expect(exitCode).toBe(0)
  })

  test.each([
    ['audience', 'wrong_audience', { aud: 'other' }],
    ['time', 'expired', { iat: 1000, exp: 2000 }],
    ['match team', 'claim_mismatch', { team: 'hr' }],
    ['match ref', 'claim_mismatch', { ref: 'repo:acme-evil/app:ref:main' }],
    ['subject', 'missing_claim', { sub: undefined }],
    ['kind of token', 'type_not_allowed', { cnf: { jkt: 'x' } }],
  ])('%s fails alone: %s', async (check, reason, claims) => {
    const { failed, exitCode, body } = await report(await token(claims))
    expect(failed).toHaveLength(1)
    expect(failed[0]).toMatchObject({ check, reason })
    expect(body.accepted_by).toEqual([])
    expect(exitCode).toBe(1)
  })

  test('every rule that fails is told, with what was expected and what was said', async () => {
    const header = JSON.stringify({ alg: 'HS256', typ: 'JWT' })
    const { exitCode, out } = await explained(await token({ aud: 'x', team: 'hr' }, header))
    expect(out).toMatch(/FAIL +algorithm +algorithm_not_allowed \(alg\), expected .*got "HS256"/)
    expect(out).toMatch(/FAIL +key id /)
    expect(out).toMatch(/FAIL +audience +wrong_audience \(aud\), expected \["sallyport"\], got "x"/)
    expect(out).toMatch(/FAIL +match team .*expected \["support","billing"\], got "hr"/)
    expect(exitCode).toBe(1)
  })

  test('of another issuer has no candidate, and is told what there is', async () => {
    const { exitCode, out } = await explained(await token({ iss: 'https://evil.example' }))
    expect(out).toContain('no method is a candidate: unknown_issuer')
    expect(out).toContain(`issuer ${ISSUER}`)
    expect(exitCode).toBe(1)
  })

  test('writes no control characters to the terminal', async () => {
    const { out } = await explained(await token({ team: '\u001b[2Jhr\u202e' }))
    for (const hostile of ['\u001b', '\u202e']) expect(out).not.toContain(hostile)
  })

  test('reaches nobody unless told to, and then says when the keys cannot be had', async () => {
    const text = await token()
    const fetchBefore = globalThis.fetch
    globalThis.fetch = () => Promise.reject(new Error('the network was used'))
    try {
      expect((await explained(text)).exitCode).toBe(0)
    } finally {
      globalThis.fetch = fetchBefore
    }
    const { failed, exitCode } = await report(text, '--fetch-keys')
    expect(failed).toMatchObject([{ check: 'signature', reason: 'keys_unreachable' }])
    expect(exitCode).toBe(1)
  })
})

test('AW a signed request is judged by its form, and STS is said to be missing', async () => {
  const text = Buffer.from('{"presigned_url":"https://evil.example/"}').toString('base64url')
  const { exitCode, out } = await explained(text)
  expect(out).toContain('aws (aws-iam): refuses')
  expect(out).toMatch(/FAIL +form/)
  expect(exitCode).toBe(1)
})

test('an opaque token can be told nothing of, and 1 says so', async () => {
  const { exitCode, out, err } = await explained('xoxb-1', '--auth-method', 'saas')
  expect(out).toContain('saas (oauth-introspection): unknown')
  expect(out).toContain('not checked: what the authority of the method says')
  expect(err).toContain('cannot be told here')
  expect(exitCode).toBe(1)
  expect((await explained('xoxb-1')).out).toContain('ambiguous_method')
})

test('2 for a policy that is wrong, missing, or said twice', async () => {
  sallyport.files['token'] = await token()
  sallyport.files['bad.yaml'] = 'auth_methods: [{ name: x, type: nonsense, config: {} }]'
  const run = (...args: string[]) => sallyport.run('explain', '--token-file', 'token', ...args)
  expect((await run('--policy', 'bad.yaml')).exitCode).toBe(2)
  expect((await run()).exitCode).toBe(2)
  const both = await run('--policy', 'policy.yaml', '--server', 'https://broker.example')
  expect(both.exitCode).toBe(2)
})
