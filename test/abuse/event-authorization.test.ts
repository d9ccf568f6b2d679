// A transmitter of security events that has to show a bearer secret besides its signature (RFC 8935 §2): what
// happens to one that does not, and where that secret may be used.
import { afterEach, describe, expect, test } from 'vitest'
import {
  ADMIN_TOKEN,
  CRM,
  IDP,
  ISSUER,
  type InProcess,
  startInProcess,
} from '../faults/in-process.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const AUDIENCE = `${ISSUER}/events`
const SECRET = 'canary-event-secret.0123456789'

let broker: InProcess
let n = 0
afterEach(() => broker.app.close())

const authorization = { secret: 'sealed:idp-events' }

function policyOf(securityEvents: object, more: readonly object[] = []) {
  const config = { issuer: IDP, audiences: ['sallyport'], match: { team: 'support' } }
  return {
    auth_methods: [
      {
        name: 'ci',
        type: 'oidc',
        config: { ...config, security_events: { audience: AUDIENCE, ...securityEvents } },
      },
      ...more,
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: CRM },
        credential: { inject: 'bearer', secret: 'sealed:crm-key' },
      },
    ],
    bindings: [
      {
        name: 'support-crm',
        auth_method: 'ci',
        target: 'crm',
        grants: [{ effects: ['read'], objects: ['GET /v1/**'] }],
      },
    ],
    intent_policies: [],
  }
}

function put(name: string, value: string, origin: string): Promise<Response> {
  return broker.admin('PUT', `/secrets/${name}`, { value, allowed_origins: [origin] })
}

async function start(securityEvents: object = { authorization }): Promise<void> {
  broker = await startInProcess()
  await put('idp-events', SECRET, ISSUER)
  const answer = await broker.admin('POST', '/policy/apply', policyOf(securityEvents))
  if (!answer.ok) throw new Error(await answer.text())
}

function setOf(over: object = {}): Promise<string> {
  const { alg, kid } = broker.keys
  const claims = {
    iss: IDP,
    aud: AUDIENCE,
    jti: `set-${n++}`,
    iat: broker.clock.nowSeconds(),
    sub_id: { format: 'iss_sub', iss: IDP, sub: 'agent-7' },
    events: { [`${CAEP}session-revoked`]: {} },
    ...over,
  }
  return broker.keys.sign(JSON.stringify(claims), JSON.stringify({ alg, kid, typ: 'secevent+jwt' }))
}

function push(token: string, header?: string): Promise<Response> {
  return broker.fetch('/events', {
    method: 'POST',
    body: token,
    headers: {
      'content-type': 'application/secevent+jwt',
      ...(header === undefined ? {} : { authorization: header }),
    },
  })
}

const reads = async (handle: string) => (await broker.call(handle, '/v1/a')).status
const stranger = async () => {
  const answer = await push(await setOf({ iss: 'https://nobody.example' }))
  return [answer.status, await answer.text()]
}

describe('authorization of security_events', () => {
  test('RFC 8935 §2: a signed event with the secret is taken', async () => {
    await start()
    const handle = await broker.handle()
    expect((await push(await setOf(), `bearer ${SECRET}`)).status).toBe(202)
    expect(await reads(handle)).toBe(401)
  })

  test.each([
    ['none', undefined],
    ['a wrong one', 'Bearer wrong'],
    ['its beginning', `Bearer ${SECRET.slice(0, -1)}`],
    ['more than it', `Bearer ${SECRET}0`],
    ['an empty one', 'Bearer '],
    ['it as another scheme', `Basic ${btoa(`x:${SECRET}`)}`],
    ['it as DPoP', `DPoP ${SECRET}`],
    ['it twice', `Bearer ${SECRET}, Bearer ${SECRET}`],
    ["the administrator's", `Bearer ${ADMIN_TOKEN}`],
  ])('RFC 8935 §2.4: with %s it is refused as any stranger', async (_, header) => {
    await start()
    const handle = await broker.handle()
    const answer = await push(await setOf(), header)
    const body = await answer.text()
    expect([answer.status, body]).toEqual(await stranger())
    expect(JSON.parse(body)).toMatchObject({ err: 'authentication_failed' })
    expect(await reads(handle)).toBe(200)
  })

  test('the secret alone proves nothing: the signature has to hold', async () => {
    await start()
    const handle = await broker.handle()
    const [head = '', , signature = ''] = (await setOf()).split('.')
    const payload = Buffer.from(JSON.stringify({ iss: IDP, jti: 'forged' })).toString('base64url')
    const answer = await push(`${head}.${payload}.${signature}`, `Bearer ${SECRET}`)
    expect([answer.status, await answer.text()]).toEqual(await stranger())
    expect(await reads(handle)).toBe(200)
  })

  test('no key is fetched, and no fault told, before the secret was shown', async () => {
    await start()
    const wrongAudience = await setOf({ aud: 'https://elsewhere.example' })
    const refused = await push(wrongAudience)
    expect([refused.status, await refused.text()]).toEqual(await stranger())
    const told = await push(wrongAudience, `Bearer ${SECRET}`)
    expect(await told.json()).toMatchObject({ err: 'invalid_audience' })
  })

  test('a method that asks for none is not protected by the secret of another', async () => {
    await start()
    const other = {
      name: 'other',
      type: 'oidc',
      config: {
        issuer: IDP,
        audiences: ['other'],
        security_events: { audience: AUDIENCE, authorization: { secret: 'sealed:other-events' } },
      },
    }
    await put('other-events', 'another-secret', ISSUER)
    const policy = policyOf({ authorization }, [other])
    expect((await broker.admin('POST', '/policy/apply', policy)).status).toBe(200)
    const handle = await broker.handle()
    // Whose secret was shown is the one that believes the event, about its own identities.
    expect((await push(await setOf(), 'Bearer another-secret')).status).toBe(202)
    expect(await reads(handle)).toBe(200)
    expect((await push(await setOf(), `Bearer ${SECRET}`)).status).toBe(202)
    expect(await reads(handle)).toBe(401)
  })

  test('a replaced secret is the one that counts; a missing one has the transmitter try again', async () => {
    await start()
    await put('idp-events', 'rotated', ISSUER)
    broker.clock.advance(2)
    expect((await push(await setOf(), `Bearer ${SECRET}`)).status).toBe(400)
    expect((await push(await setOf(), 'Bearer rotated')).status).toBe(202)
    await broker.sql("DELETE FROM secret WHERE name = 'idp-events'")
    broker.clock.advance(2)
    const lost = await push(await setOf(), 'Bearer rotated')
    expect([lost.status, lost.headers.has('retry-after')]).toEqual([503, true])
  })

  test('the secret is in no event, no answer and no log', async () => {
    await start()
    await push(await setOf(), `Bearer ${SECRET}`)
    await push(await setOf({ aud: 'x' }), `Bearer ${SECRET}`)
    const listed = await (await broker.admin('GET', '/audit?limit=500')).text()
    const method = await (await broker.admin('GET', '/auth-methods/ci')).text()
    expect([listed, method, ...broker.logged].join('\n')).not.toContain(SECRET)
    expect(method).toContain('sealed:idp-events')
  })
})

describe('its secret', () => {
  test('LEAK: has to be one for the origin of the broker, so that no other can be tried out', async () => {
    await start()
    const answer = await broker.admin(
      'POST',
      '/policy/apply',
      policyOf({ authorization: { secret: 'sealed:crm-key' } }),
    )
    expect(answer.status).toBe(422)
    expect(await answer.json()).toMatchObject({
      errors: [
        {
          path: '/auth_methods/0/config/security_events/authorization/secret',
          code: 'origin_not_allowed',
        },
      ],
    })
  })

  test('is in use: it can neither be deleted nor moved to another origin', async () => {
    await start()
    expect((await broker.admin('DELETE', '/secrets/idp-events')).status).toBe(409)
    expect((await put('idp-events', SECRET, CRM)).status).toBe(409)
  })

  test.each([
    ['authorization', 'Bearer x', 'type'],
    ['authorization', {}, 'required', '/secret'],
    ['authorization', { secret: 'plain text' }, 'format', '/secret'],
    ['authorization', { secret: 'sealed:nothing' }, 'unknown_secret', '/secret'],
    ['authorization', { secret: 'sealed:idp-events', header: 'x' }, 'unknown_member', '/header'],
  ])('%s %j is refused', async (member, value, code, below = '') => {
    await start()
    const answer = await broker.admin('POST', '/policy/apply', policyOf({ [member]: value }))
    expect(answer.status).toBe(422)
    const { errors } = (await answer.json()) as { errors: object[] }
    expect(errors).toContainEqual(
      expect.objectContaining({
        path: `/auth_methods/0/config/security_events/${member}${below}`,
        code,
      }),
    )
  })
})
