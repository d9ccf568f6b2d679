// Black box on every entry: how deep a tree may get by the deployment's word, a transmitter that has to show a
// secret, and credentials of AWS that are denied there when their session ends.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AwsAccount, awsAccount } from '../fakes/aws-account.ts'
import { applyPolicy, ENTRIES, policyOf, startWorld, TT, type World } from './world.ts'

type Body = Record<string, unknown>

const AUDIENCE = 'sallyport-events'
const SECRET = 'canary-of-the-transmitter'

/** The account behind a port. */
async function listen(account: AwsAccount): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const headers = Object.entries(request.headers).map(
        ([name, value]) => [name, String(value)] as const,
      )
      const asked = { method: 'POST', url: new URL('http://aws.example'), headers }
      const body = new Uint8Array(Buffer.concat(chunks))
      void account.outbound({ ...asked, body } as never).then(async (answer) => {
        response.writeHead(answer.status, Object.fromEntries(answer.headers))
        response.end(Buffer.from(await new Response(answer.body).arrayBuffer()))
      })
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo // it listens on TCP
  return { url: `http://127.0.0.1:${port}`, server }
}

describe.each(ENTRIES)('what ends and how far it reaches on %s', (entry) => {
  let world: World
  let server: Server
  const aws = awsAccount({ nowSeconds: () => Math.floor(Date.now() / 1000) })

  beforeAll(async () => {
    const listening = await listen(aws)
    server = listening.server
    world = await startWorld(entry, {
      env: { AWS_ENDPOINT_URL: listening.url, SALLYPORT_MAX_DELEGATION_DEPTH: '2' },
    })
    await world.admin('PUT', '/secrets/idp-events', {
      value: SECRET,
      allowed_origins: [world.url],
    })
    const policy = policyOf(world)
    const [ci] = policy.auth_methods
    const [crm] = policy.bindings
    if (ci === undefined || crm === undefined) throw new Error('no policy')
    const authorization = { secret: 'sealed:idp-events' }
    const events = { security_events: { audience: AUDIENCE, authorization } }
    await applyPolicy(world, {
      ...policy,
      auth_methods: [{ ...ci, config: { ...ci.config, ...events } }],
      targets: [
        ...policy.targets,
        {
          name: 'lake',
          type: 'aws-sts',
          config: {
            region: 'eu-central-1',
            role_arn: 'arn:aws:iam::123456789012:role/reader',
            revoker_role_arn: 'arn:aws:iam::123456789012:role/revoker',
            assume_by: 'web_identity',
          },
        },
      ],
      bindings: [
        { ...crm, delegate_to: ['ci'], max_depth: 16 },
        {
          name: 'lake',
          auth_method: 'ci',
          target: 'lake',
          delivery: 'credential',
          grants: [{ effects: ['read'], objects: ['arn:aws:s3:::lake/*'] }],
          may_outlive_subject: true,
          ttl_seconds: 900,
        },
      ],
    })
  })
  afterAll(async () => {
    await world?.stop()
    server?.closeAllConnections()
    server?.close()
  })

  async function mint(sub: string): Promise<{ id: string; token: string }> {
    const answer = await world.exchange({
      audience: 'lake',
      requested_token_type: 'urn:sallyport:token-type:aws-credentials',
      subject_token: await world.token({ sub }),
    })
    const body = (await answer.json()) as { access_token: string; session: { id: string } }
    if (!answer.ok) throw new Error(JSON.stringify(body))
    return { id: body.session.id, token: body.access_token }
  }
  const isDenied = ({ id }: { id: string }) => aws.isDenied('reader', id)

  async function push(sub: string, header: string | null): Promise<Response> {
    const claims = {
      iss: world.issuer.url,
      aud: AUDIENCE,
      jti: crypto.randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      sub_id: { format: 'iss_sub', iss: world.issuer.url, sub },
      events: { 'https://schemas.openid.net/secevent/caep/event-type/session-revoked': {} },
    }
    const jose = { alg: 'ES256', kid: world.keys.kid, typ: 'secevent+jwt' }
    return fetch(`${world.url}/events`, {
      method: 'POST',
      body: await world.keys.sign(JSON.stringify(claims), JSON.stringify(jose)),
      headers: {
        'content-type': 'application/secevent+jwt',
        ...(header === null ? {} : { authorization: header }),
      },
    })
  }

  test('AC-06: SALLYPORT_MAX_DELEGATION_DEPTH generations, and not one more', async () => {
    let parent = await world.handle()
    const outcomes: unknown[] = []
    for (let generation = 1; generation <= 3; generation += 1) {
      const answer = await world.exchange({
        subject_token: parent,
        subject_token_type: `${TT}access_token`,
        actor_token: await world.token({ sub: `agent-${generation}` }),
        actor_token_type: `${TT}jwt`,
      })
      const body = (await answer.json()) as Body
      outcomes.push(answer.status)
      if (typeof body['access_token'] === 'string') parent = body['access_token']
    }
    expect(outcomes).toEqual([200, 200, 400])
  })

  test('RFC 8935 §2: an event counts with the secret of its transmitter only', async () => {
    const handle = await world.handle({ subject_token: await world.token({ sub: 'told' }) })
    const read = async () => (await world.call(handle, 'crm/v1/customers/1')).status
    for (const header of [null, 'Bearer wrong', `Basic ${SECRET}`]) {
      const refused = await push('told', header)
      expect([refused.status, await refused.json()]).toEqual([
        400,
        expect.objectContaining({ err: 'authentication_failed' }),
      ])
    }
    expect(await read()).toBe(200)
    expect((await push('told', `Bearer ${SECRET}`)).status).toBe(202)
    expect(await read()).toBe(401)
  })

  test('SC-10: whoever ends a session has AWS deny what it holds, and the log says so', async () => {
    const [byHolder, byAdmin, byEvent, live] = await Promise.all(
      ['a', 'b', 'c', 'd'].map((sub) => mint(sub)),
    )
    if (!byHolder || !byAdmin || !byEvent || !live) throw new Error('not minted')
    const form = new URLSearchParams({ token: byHolder.token })
    const revoked = await fetch(`${world.url}/revoke`, { method: 'POST', body: form })
    expect([revoked.status, await revoked.json()]).toEqual([
      200,
      expect.objectContaining({ aws_honours_until: null }),
    ])
    const ended = await world.admin('POST', `/sessions/${byAdmin.id}/revoke`, {})
    expect(await ended.json()).toMatchObject({ revoked: 1, aws_honours_until: null })
    expect((await push('c', `Bearer ${SECRET}`)).status).toBe(202)
    expect([byHolder, byAdmin, byEvent, live].map(isDenied)).toEqual([true, true, true, false])
    const page = await world.admin('GET', `/audit?session=${byHolder.id}&type=revocation`)
    const { items } = (await page.json()) as { items: { action: Body; outcome: Body }[] }
    expect(items.at(-1)).toMatchObject({
      action: { operation: 'credentials.deny', target: 'lake' },
      outcome: { result: 'applied', aws_honours_until: null },
    })
  })

  test('SC-10: the kill switch denies everybody, where AWS refuses the answer says until when', async () => {
    const live = await mint('e')
    const kill = async (engaged: boolean) =>
      (await (
        await world.admin('PUT', '/kill-switch', { engaged, reason: 'drill' })
      ).json()) as Body
    expect(await kill(true)).toMatchObject({ engaged: true, aws_honours_until: null })
    expect(isDenied(live)).toBe(true)
    await kill(false)
    expect(isDenied(live)).toBe(false)
    aws.faults.set('PutRolePolicy', [403, 'AccessDenied'])
    expect(await kill(true)).toMatchObject({ aws_honours_until: expect.stringMatching(/Z$/) })
    aws.faults.clear()
    await kill(false)
    expect(isDenied(live)).toBe(false)
  })
})
