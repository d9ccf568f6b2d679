// Handles that are bound to a key (RFC 9449), black box on every entry: a stolen one is worth nothing,
// and a proof counts once, for one request, by one key.
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProofKey, proofKey, type ProofOf } from '../fakes/proof-key.ts'
import { applyPolicy, ENTRIES, policyOf, startWorld, type World } from './world.ts'

type Body = Readonly<Record<string, unknown>>
type Call = Omit<RequestInit, 'headers'> & { readonly headers?: Readonly<Record<string, string>> }

/** `billing` and administration as well as `crm`; `billing` is granted to bound handles only. */
function boundPolicy(world: World) {
  const policy = policyOf(world)
  const [crm, billing] = policy.bindings
  const grants = [{ effects: ['admin'], objects: ['viewer'] }]
  const admin = { ...crm, name: 'ci-admin', target: 'sallyport-admin', grants }
  return { ...policy, bindings: [crm, { ...billing, require_proof: 'dpop' }, admin] }
}

describe.each(ENTRIES)('proof of possession on the %s entry', (entry) => {
  let world: World
  let key: ProofKey
  let thief: ProofKey
  let endpoint: string
  beforeAll(async () => {
    world = await startWorld(entry)
    await applyPolicy(world, boundPolicy(world))
    ;[key, thief] = await Promise.all([proofKey(), proofKey()])
    endpoint = `${world.url}/token-exchange`
  })
  afterAll(() => world?.stop())

  async function exchange(
    of: Partial<ProofOf> | null = {},
    form: Readonly<Record<string, string>> = {},
    by = key,
  ): Promise<Response> {
    const dpop = of === null ? null : await by.proof({ url: endpoint, ...of })
    const parameters = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: await world.token(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      audience: 'crm',
      ...form,
    }
    return world.post(parameters, dpop === null ? {} : { headers: { dpop } })
  }

  async function boundHandle(form: Readonly<Record<string, string>> = {}): Promise<string> {
    const body = (await (await exchange({}, form)).json()) as { access_token?: string }
    if (body.access_token === undefined) throw new Error(JSON.stringify(body))
    return body.access_token
  }

  /** A request with a bound handle, as its holder would make it unless `of` says otherwise. */
  async function present(
    path: string,
    handle: string,
    of: Partial<ProofOf> = {},
    { headers = {}, ...init }: Call = {},
    by = key,
  ): Promise<Response> {
    const url = `${world.url}${path}`
    const method = init.method ?? 'GET'
    const dpop = await by.proof({ url, method, token: handle, ...of })
    const sent = { authorization: `DPoP ${handle}`, dpop, ...headers }
    return fetch(url, { ...init, headers: sent })
  }

  const CUSTOMER = '/t/crm/v1/customers/1'

  async function refused(response: Response, status: number, code: string): Promise<Body> {
    const body = (await response.json()) as Body
    expect({ status: response.status, code: body['error'] ?? body['code'] }).toEqual({
      status,
      code,
    })
    if (status === 401) {
      expect(response.headers.get('www-authenticate')).toMatch(
        new RegExp(`^DPoP error="${code}", algs="[^"]*ES256[^"]*"`),
      )
    }
    return body
  }

  const claimsOf = (handle: string): Body =>
    JSON.parse(Buffer.from(handle.split('.')[1] ?? '', 'base64url').toString()) as Body

  test('DP-05, DP-06: an exchange with a proof answers with a handle that is bound to its key', async () => {
    const response = await exchange()
    const body = (await response.json()) as Body
    expect(response.status).toBe(200)
    expect(body['token_type']).toBe('DPoP')
    expect(claimsOf(String(body['access_token']))).toMatchObject({ cnf: { jkt: key.jkt } })
    expect(response.headers.get('dpop-nonce')).toMatch(/^[\w-]{43}$/)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect((await exchange(null)).headers.has('dpop-nonce')).toBe(false)
  })

  test('DP-01, ER-08: a proof that fails a check opens nothing, and the answers are alike', async () => {
    const proofs: Partial<ProofOf>[] = [
      { header: { typ: 'JWT' } },
      { header: { alg: 'none' } },
      { header: { jwk: thief.jwk } },
      { header: { jwk: { ...key.jwk, d: 'AAAA' } } },
      { claims: { htm: 'GET' } },
      { url: `${world.url}/introspect` },
      { url: 'https://elsewhere.example/token-exchange' },
      { claims: { iat: 1_600_000_000 } },
      { claims: { jti: undefined } },
      { token: 'not-the-subject-token' },
    ]
    const bodies = []
    for (const of of proofs) {
      const { decision_id: _, ...body } = await refused(
        await exchange(of),
        400,
        'invalid_dpop_proof',
      )
      bodies.push(JSON.stringify(body))
    }
    expect(new Set(bodies).size).toBe(1)
  })

  test('DP-03: htu in another spelling is the same URI, and Host says nothing', async () => {
    const spelled = endpoint.replace('http:', 'HTTP:').replace('token', '%74oken')
    expect((await exchange({ url: `${spelled}?x=y#z` })).status).toBe(200)
  })

  test('DP-04: a proof is good for one exchange', async () => {
    const claims = { jti: 'one-exchange' }
    expect((await exchange({ claims })).status).toBe(200)
    await refused(await exchange({ claims }), 400, 'invalid_dpop_proof')
    // Somebody else's proof of the same name is another one.
    expect((await exchange({ claims }, {}, thief)).status).toBe(200)
  })

  test('require_proof: without a proof the target is not opened, alone or among others', async () => {
    await refused(await exchange(null, { audience: 'billing' }), 400, 'invalid_dpop_proof')
    expect((await exchange({}, { audience: 'billing' })).status).toBe(200)
    expect((await exchange(null)).status).toBe(200)
  })

  test('DP-05: with its proof a bound handle acts, and the target learns nothing of it', async () => {
    const handle = await boundHandle()
    world.origin.seen.length = 0
    const response = await present(`${CUSTOMER}?a=1`, handle, { url: `${world.url}${CUSTOMER}` })
    expect(response.status).toBe(200)
    expect(response.headers.get('dpop-nonce')).toMatch(/^[\w-]{43}$/)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(world.origin.seen).toHaveLength(1)
    expect(world.origin.seen[0]?.headers).not.toHaveProperty('dpop')
  })

  test('DP-05: a bound handle as Bearer is refused, with and without a proof beside it', async () => {
    const handle = await boundHandle()
    await refused(await world.call(handle, 'crm/v1/customers/1'), 401, 'invalid_token')
    const downgraded = { headers: { authorization: `Bearer ${handle}` } }
    await refused(await present(CUSTOMER, handle, {}, downgraded), 401, 'invalid_token')
  })

  test("GHSA-v9xq-2mvm-x8xc: a bound handle with another key's proof is refused", async () => {
    const handle = await boundHandle()
    await refused(await present(CUSTOMER, handle, {}, {}, thief), 401, 'invalid_token')
  })

  test('DP-01: at the gateway method, URI, handle and time of the proof have to fit', async () => {
    const handle = await boundHandle()
    const proofs: Partial<ProofOf>[] = [
      { method: 'POST' },
      { url: `${world.url}/t/crm/v1/customers/2` },
      { url: endpoint },
      { token: await boundHandle() },
      { claims: { ath: undefined } },
      { claims: { iat: 1_600_000_000 } },
    ]
    for (const of of proofs) {
      await refused(await present(CUSTOMER, handle, of), 401, 'invalid_dpop_proof')
    }
    const alone = await fetch(`${world.url}${CUSTOMER}`, {
      headers: { authorization: `DPoP ${handle}` },
    })
    await refused(alone, 401, 'invalid_dpop_proof')
  })

  test('RFC 9449 §7.1: a handle that is bound to nothing is none for the scheme DPoP', async () => {
    await refused(await present(CUSTOMER, await world.handle()), 401, 'invalid_token')
  })

  test('DP-04: of many uses of one proof at the gateway exactly one reaches the target', async () => {
    const handle = await boundHandle()
    world.origin.seen.length = 0
    const claims = { jti: 'one-action' }
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => present(CUSTOMER, handle, { claims })),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 401)).toHaveLength(19)
    expect(world.origin.seen).toHaveLength(1)
  })

  test('MT-01, IN-01: introspection shows what the handle is bound to, to who proves the key', async () => {
    const handle = await boundHandle()
    const body = new URLSearchParams({ token: handle })
    const init = { method: 'POST', body }
    const claims = { jti: 'introspection' }
    const seen = (await (await present('/introspect', handle, { claims }, init)).json()) as Body
    expect(seen).toMatchObject({ active: true, token_type: 'DPoP', cnf: { jkt: key.jkt } })
    const replay = await present('/introspect', handle, { claims }, init)
    await refused(replay, 401, 'invalid_dpop_proof')
    const bare = { headers: { authorization: `Bearer ${handle}` } }
    await refused(
      await fetch(`${world.url}/introspect`, { ...init, ...bare }),
      401,
      'invalid_token',
    )
    await refused(await present('/introspect', handle, {}, init, thief), 401, 'invalid_token')
  })

  test('RV-01: whoever finds a bound handle can end it', async () => {
    const handle = await boundHandle()
    const body = new URLSearchParams({ token: handle })
    expect((await fetch(`${world.url}/revoke`, { method: 'POST', body })).status).toBe(200)
    expect((await present(CUSTOMER, handle)).status).toBe(401)
  })

  test('ADM: a bound handle administers with its proof, and with each proof once', async () => {
    const handle = await boundHandle({ audience: 'sallyport-admin' })
    const path = '/admin/v1/targets'
    const claims = { jti: 'administration' }
    expect((await present(path, handle, { claims })).status).toBe(200)
    await refused(await present(path, handle, { claims }), 401, 'invalid_dpop_proof')
    await refused(await present(path, handle, {}, {}, thief), 401, 'invalid_token')
    const bare = { headers: { authorization: `Bearer ${handle}` } }
    await refused(await fetch(`${world.url}${path}`, bare), 401, 'invalid_token')
  })

  test('DP-02, RB-10: two DPoP headers are refused everywhere', async () => {
    const handle = await boundHandle()
    const twice = (path: string, method: string) =>
      new Promise<{ status: number; text: string }>((resolve, reject) => {
        const form = { 'content-type': 'application/x-www-form-urlencoded' }
        const headers = { ...form, authorization: `DPoP ${handle}`, dpop: ['a.b.c', 'd.e.f'] }
        if (path === '/token-exchange') Reflect.deleteProperty(headers, 'authorization')
        const sent = httpRequest(`${world.url}${path}`, { method, headers }, (response) => {
          let text = ''
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
        })
        sent.on('error', reject)
        sent.end(method === 'GET' ? undefined : `token=${handle}`)
      })
    expect(await twice('/token-exchange', 'POST')).toMatchObject({
      status: 400,
      text: expect.stringContaining('invalid_dpop_proof') as string,
    })
    for (const [path, method] of [
      [CUSTOMER, 'GET'],
      ['/introspect', 'POST'],
      ['/revoke', 'POST'],
      ['/admin/v1/targets', 'GET'],
    ] as const) {
      expect([path, (await twice(path, method)).status]).toEqual([path, 400])
    }
  })

  test('JB-07: a proof is no attestation, and neither an attestation nor a handle is a proof', async () => {
    const proof = await key.proof({ url: endpoint })
    await refused(await exchange(null, { subject_token: proof }), 400, 'invalid_request')
    for (const dpop of [await world.token(), await world.handle()]) {
      const response = await world.post({ audience: 'crm' }, { headers: { dpop } })
      // Malformed as a request too, and asked for the proof where that is well-formed.
      expect(response.status).toBe(400)
      const handle = await boundHandle()
      const headers = { authorization: `DPoP ${handle}`, dpop }
      const called = await fetch(`${world.url}${CUSTOMER}`, { headers })
      await refused(called, 401, 'invalid_dpop_proof')
    }
    const asHandle = { headers: { authorization: `DPoP ${proof}`, dpop: proof } }
    expect((await fetch(`${world.url}${CUSTOMER}`, asHandle)).status).toBe(401)
  })

  test('an attestation that is bound to a key opens nothing without its proof', async () => {
    for (const cnf of [{ jkt: key.jkt }, { kid: 'x' }]) {
      const subject_token = await world.token({ cnf })
      await refused(await exchange(null, { subject_token }), 400, 'invalid_request')
      await refused(await exchange({}, { subject_token }, thief), 400, 'invalid_request')
    }
  })

  test('the log names the key of decision, grant and action', async () => {
    const handle = await boundHandle()
    await present(CUSTOMER, handle)
    const session = String(claimsOf(handle)['sid'])
    const listed = await world.admin('GET', `/audit?session=${session}&limit=50`)
    const { items } = (await listed.json()) as {
      items: { type: string; outcome: Body; agent: { attested: Body } }[]
    }
    const of = (type: string) => items.find((event) => event.type === type)
    const cnf = { jkt: key.jkt }
    expect(of('decision')?.outcome).toMatchObject({ cnf })
    expect(of('grant')?.outcome).toMatchObject({ cnf })
    expect(of('action')?.agent.attested).toMatchObject({ cnf })
  })

  test('DP-06, MT-03: metadata says what can be bound, and of a target nothing', async () => {
    const of = async (path: string) => (await (await fetch(`${world.url}${path}`)).json()) as Body
    const server = await of('/.well-known/oauth-authorization-server')
    const algorithms = server['dpop_signing_alg_values_supported']
    expect(algorithms).toEqual(expect.arrayContaining(['ES256', 'EdDSA', 'RS256', 'PS256']))
    expect(JSON.stringify(algorithms)).not.toMatch(/none|HS\d/)
    const certificates = entry !== 'node'
    expect(server['tls_client_certificate_bound_access_tokens']).toBe(certificates)
    const resources = ['crm', 'billing', 'nowhere'].map(async (name) => {
      const { resource: _, ...rest } = await of(`/.well-known/oauth-protected-resource/t/${name}`)
      return JSON.stringify(rest)
    })
    const described = new Set(await Promise.all(resources))
    expect(described.size).toBe(1)
    expect([...described][0]).toContain('dpop_signing_alg_values_supported')
  })

  test('a binding that asks for a proof from now on ends what is bound to none', async () => {
    const [unbound, bound] = [await world.handle(), await boundHandle()]
    expect((await world.call(unbound, 'crm/v1/customers/1')).status).toBe(200)
    const policy = boundPolicy(world)
    const tightened = policy.bindings.map((one) => ({ ...one, require_proof: 'dpop' }))
    await applyPolicy(world, { ...policy, bindings: tightened })
    await refused(await world.call(unbound, 'crm/v1/customers/1'), 401, 'invalid_token')
    expect((await present(CUSTOMER, bound)).status).toBe(200)
    await applyPolicy(world, policy)
  })
})
