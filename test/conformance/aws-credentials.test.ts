// AWS credentials handed over, on every entry: the exchange, the container-credentials endpoint, what a caller
// may not say, what STS may answer, and that nothing secret is left anywhere (standards.md section 11).
import { createHash } from 'node:crypto'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { assumed, CANARY, type StsServer, startStsServer, stsError } from '../fakes/sts-server.ts'
import { applyPolicy, ENTRIES, policyOf, startWorld, TT, type World } from './world.ts'

const AWS = 'urn:sallyport:token-type:aws-credentials'
const ROLE = 'arn:aws:iam::123456789012:role/agents/reader'
const BUCKET = 'arn:aws:s3:::reports'

type Body = Record<string, unknown>
type Form = Readonly<Record<string, string>>

function policyWith(world: World, sts: StsServer) {
  const policy = policyOf(world)
  const config = { region: 'eu-west-1', role_arn: ROLE, sts_endpoint: sts.url }
  const target = (name: string, more = {}) => ({
    name,
    type: 'aws-sts',
    config: { ...config, ...more },
  })
  const binding = (name: string, more = {}) => ({
    name,
    auth_method: 'ci',
    target: name,
    delivery: 'credential',
    grants: [{ effects: ['read'], objects: [`${BUCKET}/*`] }],
    ttl_seconds: 1800,
    ...more,
  })
  const ofTeams = [
    { effects: ['read'], objects: [`${BUCKET}/*`] },
    { effects: ['write'], objects: [`${BUCKET}/\${claims.team}/*`] },
  ]
  return {
    ...policy,
    auth_methods: [
      ...policy.auth_methods,
      {
        name: 'teams',
        type: 'oidc',
        config: { issuer: world.issuer.url, audiences: ['sallyport-teams'] },
      },
    ],
    targets: [
      ...policy.targets,
      target('s3', { assume_by: 'web_identity' }),
      target('large', { assume_by: 'web_identity' }),
      target('short', { assume_by: 'web_identity' }),
      target('unbound', { assume_by: 'web_identity' }),
    ],
    bindings: [
      ...policy.bindings,
      binding('s3', { grants: ofTeams }),
      { ...binding('s3', { grants: ofTeams }), name: 'teams-s3', auth_method: 'teams' },
      binding('short', { ttl_seconds: 120 }),
      binding('large', {
        grants: [
          {
            effects: ['read'],
            objects: Array.from({ length: 60 }, (_, i) => `${BUCKET}/${'x'.repeat(40)}/${i}/*`),
          },
        ],
      }),
    ],
  }
}

describe.each(ENTRIES)('aws credentials on %s', (entry) => {
  let world: World
  let sts: StsServer
  beforeAll(async () => {
    sts = await startStsServer()
    world = await startWorld(entry)
    await applyPolicy(world, policyWith(world, sts))
  })
  afterAll(async () => {
    await world?.stop()
    await sts?.close()
  })
  beforeEach(() => {
    sts.answer = null
    sts.asked.length = 0
  })

  const mint = (over: Form = {}) =>
    world.exchange({ audience: 's3', requested_token_type: AWS, ...over })
  const credentials = (authorization: string | null, path = '/t/s3/credentials', init = {}) =>
    fetch(`${world.url}${path}`, {
      ...init,
      headers: authorization === null ? {} : { authorization },
    })
  const bodyOf = async (response: Response) => (await response.json()) as Body
  const policyAsked = () => JSON.parse(sts.asked.at(-1)?.get('Policy') ?? 'null') as unknown

  test('SC-01, SC-03: an exchange answers with the credential, the narrowest that was granted', async () => {
    const response = await mint({ intent: 'count the reports' })
    const body = await bodyOf(response)
    expect([response.status, body['error_description']]).toEqual([200, undefined])
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('pragma')).toBe('no-cache')
    const given = body['aws_credentials'] as Body
    expect(given).toEqual({
      Version: 1,
      AccessKeyId: expect.stringMatching(/^ASIACANARY\d{10}$/) as string,
      SecretAccessKey: expect.stringContaining(`${CANARY}Secret`) as string,
      SessionToken: expect.stringContaining(`${CANARY}Token`) as string,
      Expiration: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
    })
    expect(body).toMatchObject({
      access_token: given['SessionToken'],
      issued_token_type: AWS,
      token_type: 'N_A',
      scope: `read:${BUCKET}/* write:${BUCKET}/support/*`,
      session: { targets: { s3: `${world.url}/t/s3` }, delivery: 'credential' },
    })
    // Never longer than the attestation, which has 600 seconds.
    expect(body['expires_in']).toBeGreaterThan(590)
    expect(body['expires_in']).toBeLessThanOrEqual(600)
    const form = sts.asked.at(-1)
    expect(form?.get('Action')).toBe('AssumeRoleWithWebIdentity')
    expect(form?.get('RoleArn')).toBe(ROLE)
    expect(form?.get('DurationSeconds')).toBe('900')
    expect(form?.get('Policy')?.length).toBeLessThanOrEqual(2048)
    expect(JSON.stringify(policyAsked())).toContain(`${BUCKET}/support/*`)
  })

  test('SC-06: STS is told who it is by a token of the federation issuer, which pins the target', async () => {
    const body = await bodyOf(await mint())
    const token = sts.asked.at(-1)?.get('WebIdentityToken') ?? ''
    const keys = createRemoteJWKSet(new URL(`${world.url}/federation/.well-known/jwks.json`))
    const { payload } = await jwtVerify(token, keys, {
      issuer: `${world.url}/federation`,
      audience: 'sts.amazonaws.com',
      subject: 'sallyport:s3',
    })
    const { id } = body['session'] as { id: string }
    expect(JSON.stringify(payload)).toContain(id)
    // A handle never verifies there, and that token is worth nothing here.
    const handle = await world.handle()
    await expect(jwtVerify(handle, keys)).rejects.toThrow()
    expect((await mint({ subject_token: token })).status).toBe(400)
    expect((await credentials(token)).status).toBe(401)
  })

  test('SC-01: under AWS’s minimum the session policy says until when', async () => {
    const response = await world.exchange({ audience: 'short', requested_token_type: AWS })
    const body = await bodyOf(response)
    expect(body['expires_in']).toBeGreaterThan(115)
    expect(body['expires_in']).toBeLessThanOrEqual(120)
    expect(sts.asked.at(-1)?.get('DurationSeconds')).toBe('900')
    const { Expiration } = body['aws_credentials'] as { Expiration: string }
    expect(JSON.stringify(policyAsked())).toContain(Expiration)
  })

  test('SC-08: nothing that a caller says of role, region, session or policy is read', async () => {
    const said = {
      RoleArn: 'arn:aws:iam::123456789012:role/admin',
      role_arn: 'arn:aws:iam::123456789012:role/admin',
      ExternalId: 'mine',
      external_id: 'mine',
      region: 'us-east-1',
      RoleSessionName: 'root',
      role_session_name: 'root',
      Policy: '{}',
      policy: '{}',
      DurationSeconds: '43200',
      sts_endpoint: 'http://127.0.0.1:1',
    }
    expect((await mint(said)).status).toBe(200)
    const [form] = sts.asked
    expect(form?.get('RoleArn')).toBe(ROLE)
    expect(form?.get('ExternalId')).toBeNull()
    expect(form?.get('RoleSessionName')).not.toBe('root')
    expect(form?.get('Policy')).not.toBe('{}')
    expect(form?.get('DurationSeconds')).toBe('900')
    for (const [name, value] of Object.entries(said)) {
      const query = new URLSearchParams({ [name]: value }).toString()
      const response = await credentials(await world.token(), `/t/s3/credentials?${query}`)
      expect([name, response.status]).toEqual([name, 400])
    }
    expect(sts.asked).toHaveLength(1)
  })

  test.each([['a*b'], ['a?b'], ['${aws:username}'], ['a"b'], ['a:b'], ['a/b'], ['x'.repeat(2000)]])(
    'SC-04: a claim of %j grants a name of just that, or nothing',
    async (team) => {
      const subject_token = await world.token({ team, aud: 'sallyport-teams' })
      const response = await mint({ subject_token })
      expect(response.status).toBe(200)
      const asked = JSON.stringify(policyAsked())
      const escaped = team.replace(/[*?$]/g, (one) => `\${${one}}`)
      const isName = !/[/:"\\]/.test(team) && team.length <= 256
      expect(asked.includes(JSON.stringify(`${BUCKET}/${escaped}/*`).slice(1, -1))).toBe(isName)
      expect(asked).not.toContain(`${BUCKET}/${team}/*`.replace(escaped, ''))
      expect(asked.includes('PutObject')).toBe(isName)
    },
  )

  test('SC-03: a policy that does not fit is refused with a hint, and STS is not asked', async () => {
    const response = await world.exchange({ audience: 'large', requested_token_type: AWS })
    expect(response.status).toBe(400)
    const body = await bodyOf(response)
    expect(body['error']).toBe('invalid_request')
    expect(body['error_description']).toMatch(/A credential cannot be made/)
    const narrowed = await world.exchange({
      audience: 'large',
      requested_token_type: AWS,
      scope: `read:${BUCKET}/${'x'.repeat(40)}/7/*`,
    })
    expect(narrowed.status).toBe(200)
    expect(sts.asked).toHaveLength(1)
    const served = await credentials(await world.token(), '/t/large/credentials')
    expect(served.status).toBe(403)
    expect(await bodyOf(served)).toMatchObject({ code: 'not_granted' })
  })

  describe('GET /t/{target}/credentials', () => {
    test('an attestation and a handle, with and without a scheme, get the document', async () => {
      const handle = await world.handle({ audience: 's3' })
      const token = await world.token()
      for (const presented of [token, `Bearer ${token}`, handle, `Bearer ${handle}`]) {
        const response = await credentials(presented)
        expect(response.status).toBe(200)
        expect(response.headers.get('content-type')).toMatch(/^application\/json/)
        expect(response.headers.get('cache-control')).toBe('no-store')
        expect(response.headers.get('sallyport-decision')).toMatch(/^dec_/)
        expect(Object.keys(await bodyOf(response)).toSorted()).toEqual([
          'AccessKeyId',
          'Expiration',
          'SecretAccessKey',
          'Token',
        ])
      }
      expect(sts.asked).toHaveLength(4)
    })

    test('ER-09: a stranger is answered alike at every target', async () => {
      const seen = new Set<string>()
      for (const target of ['s3', 'crm', 'unbound', 'nowhere']) {
        for (const authorization of [null, 'a.b.c', await world.token({ team: 'other' })]) {
          const response = await credentials(authorization, `/t/${target}/credentials`)
          const { decision_id: _, ...body } = await bodyOf(response)
          seen.add(JSON.stringify([response.status, body]))
        }
      }
      expect([...seen]).toEqual([expect.stringContaining('[401,')])
    })

    test('ER-09: who is known is answered alike where nothing is granted and where nothing is', async () => {
      const answers = await Promise.all(
        ['unbound', 'nowhere', 'crm', 'ghost'].map(async (target) => {
          const response = await credentials(await world.token(), `/t/${target}/credentials`)
          const { decision_id: _, ...body } = await bodyOf(response)
          return JSON.stringify([response.status, body])
        }),
      )
      expect(new Set(answers).size).toBe(1)
      expect(answers[0]).toContain('[403,')
    })

    test('two headers, other schemes and other methods are refused', async () => {
      const handle = await world.handle({ audience: 's3' })
      const token = await world.token()
      expect((await credentials(`Bearer ${token}, Bearer ${token}`)).status).toBe(400)
      expect((await credentials(`Basic ${token}`)).status).toBe(401)
      expect((await credentials('Bearer')).status).toBeGreaterThanOrEqual(400)
      for (const method of ['POST', 'PUT', 'DELETE']) {
        expect((await credentials(`Bearer ${handle}`, undefined, { method })).status).toBe(405)
        expect((await credentials(`Bearer ${token}`, undefined, { method })).status).toBe(401)
      }
      expect(sts.asked).toHaveLength(0)
    })

    test('AUTH: an attestation is believed here and nowhere else below /t/', async () => {
      const token = await world.token()
      expect((await credentials(`Bearer ${token}`, '/t/crm/credentials')).status).toBe(403)
      for (const path of ['/t/s3/', '/t/s3/x/credentials', '/t/crm/v1/customers/1']) {
        expect([path, (await credentials(`Bearer ${token}`, path)).status]).toEqual([path, 401])
      }
    })
  })

  describe('STS', () => {
    const canaryIn = (text: string) => text.includes(CANARY)
    const wrongExpiration = new Date(Date.now() + 3_600_000).toISOString()

    test.each([
      ['403', () => stsError(403, 'AccessDenied')],
      ['429', () => stsError(429, 'Throttling')],
      ['500', () => stsError(500, 'InternalFailure')],
      ['a redirect', () => ({ status: 307, to: 'http://127.0.0.1:9/' })],
      ['HTML', () => ({ status: 200, type: 'text/html', body: `<html>${CANARY}</html>` })],
      [
        'JSON with XML inside',
        () => ({ status: 200, type: 'application/json', body: JSON.stringify(`<a>${CANARY}</a>`) }),
      ],
      ['an empty body', () => ({ status: 200, body: '' })],
      ['XML that ends too early', () => ({ status: 200, body: `<A><B>${CANARY}` })],
      ['a cut connection', () => 'cut' as const],
      [
        'somebody else’s role',
        (form: URLSearchParams) => ({
          status: 200,
          body: assumed(form, 1, { Arn: 'arn:aws:sts::123456789012:assumed-role/admin/x' }),
        }),
      ],
      [
        'an end that was not asked for',
        (form: URLSearchParams) => ({
          status: 200,
          body: assumed(form, 1, { Expiration: wrongExpiration }),
        }),
      ],
    ])('SC-10: answering %s is a 503 on both ways, with a reason in the log', async (_, answer) => {
      // What it answers may depend on what it is asked, which is the same each time but for the session.
      const handle = await world.handle({ audience: 's3' })
      await mint()
      const first = sts.asked.at(-1) ?? new URLSearchParams()
      sts.answer = answer(first)
      const asked = sts.asked.length
      const exchanged = await mint()
      const text = await exchanged.text()
      expect([exchanged.status, text]).toEqual([
        503,
        expect.stringContaining('temporarily_unavailable'),
      ])
      expect(exchanged.headers.get('retry-after')).toMatch(/^\d+$/)
      expect(canaryIn(text)).toBe(false)
      for (const presented of [handle, await world.token()]) {
        const served = await credentials(presented)
        const body = await served.text()
        expect([served.status, body]).toEqual([503, expect.stringContaining('"message"')])
        expect(canaryIn(body)).toBe(false)
      }
      expect(sts.asked).toHaveLength(asked + 3)
      const { decision_id } = JSON.parse(text) as { decision_id: string }
      const audit = await bodyOf(await world.admin('GET', `/audit?decision=${decision_id}`))
      const items = audit['items'] as Body[]
      expect(items.map(({ type }) => type).toSorted()).toEqual(['decision', 'refusal'])
      expect(items.find(({ type }) => type === 'refusal')).toMatchObject({
        reason: expect.stringMatching(/^sts_/) as string,
        session_id: items.find(({ type }) => type === 'decision')?.['session_id'],
      })
      expect(canaryIn(JSON.stringify(audit))).toBe(false)
    })

    test('saying nothing at all is a 503, and nothing is waited for without end', async () => {
      sts.answer = 'silence'
      const response = await mint()
      expect(response.status).toBe(503)
      expect(await bodyOf(response)).toMatchObject({ error: 'temporarily_unavailable' })
    }, 30_000)

    test('SC-03: its own refusal of a packed policy is the caller’s to mend', async () => {
      sts.answer = stsError(400, 'PackedPolicyTooLarge')
      const response = await mint()
      expect(response.status).toBe(400)
      expect(await bodyOf(response)).toMatchObject({ error: 'invalid_request' })
      const served = await credentials(await world.token())
      expect(served.status).toBe(403)
    })
  })

  test('RFC 7009: the session token ends the session; the answer says that AWS honours it until it expires', async () => {
    const body = await bodyOf(await mint())
    const token = String(body['access_token'])
    const { id } = body['session'] as { id: string }
    const answer = await fetch(`${world.url}/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token }),
    })
    expect(answer.status).toBe(200)
    const said = await bodyOf(answer)
    expect(said).toMatchObject({ session: { id, state: 'ended' } })
    const [credential] = said['credentials'] as Body[]
    expect(credential).toMatchObject({
      sha256: createHash('sha256').update(token).digest('hex'),
      target: 's3',
      revocable_in_aws: false,
      aws_honours_until: expect.stringMatching(/Z$/) as string,
    })
    const session = await bodyOf(await world.admin('GET', `/sessions/${id}`))
    expect(session).toMatchObject({ state: 'ended', delivery: 'credential' })
  })

  test('RFC 7662: a credential is none of the tokens that are introspected here', async () => {
    const token = String((await bodyOf(await mint()))['access_token'])
    const handle = await world.handle()
    const response = await fetch(`${world.url}/introspect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${handle}` },
      body: new URLSearchParams({ token }),
    })
    expect(await bodyOf(response)).toEqual({ active: false })
  })

  test('RFC 8414: what can be asked for is published', async () => {
    const metadata = await bodyOf(
      await fetch(`${world.url}/.well-known/oauth-authorization-server`),
    )
    expect(metadata['requested_token_types_supported']).toEqual(
      expect.arrayContaining([`${TT}access_token`, AWS]),
    )
  })

  test('LEAK: nothing secret of any credential is in the log of events or in what admins see', async () => {
    await mint()
    const handle = await world.handle({ audience: 's3' })
    await credentials(handle)
    const texts = await Promise.all(
      ['/audit?limit=500', '/sessions?limit=200', '/policy'].map(async (path) =>
        (await world.admin('GET', path)).text(),
      ),
    )
    for (const text of texts) expect(text).not.toContain(CANARY)
    expect(texts[0]).toContain('aws.assume')
  })
})
