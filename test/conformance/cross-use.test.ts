// JB-07 as one table: every kind of token at every place where one can be presented. Each cell is refused with
// the status and the code of its place, but those where it belongs.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProofKey, proofKey } from '../fakes/proof-key.ts'
import { type Kinds, startKinds } from './token-kinds.ts'
import { ADMIN_TOKEN, ENTRIES, startWorld, TOKEN_EXCHANGE, TT, type World } from './world.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const CLIENT_JWT = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const SALLYPORT = 'urn:sallyport:token-type:'

type Part = Readonly<Record<string, string>>
type Site = { readonly world: World; readonly kinds: Kinds; readonly key: ProofKey }

type Place = {
  readonly name: string
  readonly present: (token: string, site: Site) => Promise<Response>
  /** `status code` of every kind that is not named below. */
  readonly refusal: string
  /** Kinds that are refused in another way, because they are what the place takes, of the wrong party. */
  readonly otherwise?: Part
  readonly belongs: readonly string[]
}

const exchange = (form: Part, { world }: Site, headers: Part = {}) =>
  world.post({ grant_type: TOKEN_EXCHANGE, audience: 'crm', ...form }, { headers })

const bearer = (form: Part, { world }: Site) =>
  world.post({ grant_type: JWT_BEARER, audience: 'crm', ...form })

async function make(kind: string, { kinds }: Site): Promise<string> {
  return (await kinds.of[kind]?.()) ?? ''
}

function subject(type: string, rest: Omit<Place, 'name' | 'present' | 'refusal'>, more: Part = {}) {
  return {
    name: `subject_token as ${type}`,
    present: (token: string, site: Site) =>
      exchange({ subject_token: token, subject_token_type: type, ...more }, site),
    refusal: '400 invalid_request',
    ...rest,
  }
}

function actor(type: string, belongs: readonly string[], more: Part = {}): Place {
  return {
    name: `actor_token as ${type}`,
    present: async (token, site) =>
      exchange(
        {
          subject_token: await make('ID token', site),
          subject_token_type: `${TT}id_token`,
          actor_token: token,
          actor_token_type: type,
          ...more,
        },
        site,
      ),
    refusal: '400 invalid_request',
    belongs,
  }
}

const AT_TARGET = '/t/crm/v1/customers/1'
/** A user's own token is one; alone it opens nothing. */
const USER_ALONE = { 'ID token': '400 invalid_target' }

const PLACES: readonly Place[] = [
  subject(`${TT}jwt`, { belongs: ['workload JWT', 'JWT-SVID'], otherwise: USER_ALONE }),
  // What a platform calls an ID token is a workload's, too (GitHub, GitLab, Google).
  subject(`${TT}id_token`, { belongs: ['workload JWT'], otherwise: USER_ALONE }),
  subject(`${TT}access_token`, { belongs: [] }),
  ...['refresh_token', 'saml1', 'saml2', 'id-jag', 'txn_token', 'self_signed', 'unsigned_json'].map(
    (type) => subject(`${TT}${type}`, { belongs: [] }),
  ),
  subject(`${SALLYPORT}aws-sigv4`, { belongs: ['SigV4'] }),
  subject(`${SALLYPORT}oauth-opaque`, { belongs: ['opaque SaaS token'] }, { auth_method: 'saas' }),
  subject(`${SALLYPORT}mtls`, { belongs: [] }),
  {
    name: 'subject_token as access_token, beside an actor',
    present: async (token, site) =>
      exchange(
        {
          subject_token: token,
          subject_token_type: `${TT}access_token`,
          actor_token: await make('workload JWT', site),
          actor_token_type: `${TT}jwt`,
        },
        site,
      ),
    refusal: '400 invalid_request',
    otherwise: { handle: '400 invalid_target' },
    belongs: [],
  },
  actor(`${TT}jwt`, ['workload JWT', 'JWT-SVID']),
  actor(`${TT}id_token`, ['workload JWT']),
  actor(`${TT}access_token`, []),
  actor(`${TT}id-jag`, []),
  actor(`${SALLYPORT}aws-sigv4`, ['SigV4']),
  actor(`${SALLYPORT}oauth-opaque`, ['opaque SaaS token'], { auth_method: 'saas' }),
  {
    name: 'client_assertion beside a subject_token',
    present: async (token, site) =>
      exchange(
        {
          subject_token: await make('workload JWT', site),
          subject_token_type: `${TT}jwt`,
          client_assertion: token,
          client_assertion_type: CLIENT_JWT,
        },
        site,
      ),
    refusal: '401 invalid_client',
    belongs: ['workload JWT', 'JWT-SVID'],
  },
  {
    name: 'client_assertion beside an ID-JAG',
    present: async (token, site) =>
      bearer(
        {
          assertion: await make('ID-JAG', site),
          client_assertion: token,
          client_assertion_type: CLIENT_JWT,
        },
        site,
      ),
    refusal: '401 invalid_client',
    otherwise: { 'JWT-SVID': '400 invalid_grant', 'ID token': '400 invalid_grant' },
    belongs: ['workload JWT'],
  },
  {
    name: 'assertion',
    present: (token, site) => bearer({ assertion: token }, site),
    refusal: '400 invalid_grant',
    otherwise: {
      ...USER_ALONE,
      'ID-JAG': '401 invalid_client',
      'ID-JAG of this broker': '401 invalid_client',
    },
    belongs: ['workload JWT', 'JWT-SVID'],
  },
  {
    name: 'assertion of an authenticated agent',
    present: async (token, site) =>
      bearer(
        {
          assertion: token,
          client_assertion: await make('workload JWT', site),
          client_assertion_type: CLIENT_JWT,
        },
        site,
      ),
    refusal: '400 invalid_grant',
    otherwise: USER_ALONE,
    belongs: ['workload JWT', 'JWT-SVID', 'ID-JAG'],
  },
  {
    name: 'Bearer at the gateway',
    present: (token, { world }) =>
      fetch(`${world.url}${AT_TARGET}`, { headers: { authorization: `Bearer ${token}` } }),
    refusal: '401 invalid_token',
    belongs: ['handle'],
  },
  {
    name: 'DPoP at the gateway, with a proof for it',
    present: async (token, { world, key }) => {
      const url = `${world.url}${AT_TARGET}`
      const dpop = await key.proof({ url, method: 'GET', token })
      return fetch(url, { headers: { authorization: `DPoP ${token}`, dpop } })
    },
    refusal: '401 invalid_token',
    belongs: ['bound handle'],
  },
  {
    name: 'alone at /credentials',
    present: (token, { world }) =>
      fetch(`${world.url}/t/lake/credentials`, { headers: { authorization: token } }),
    refusal: '401 invalid_token',
    // Attestations, for which no binding hands anything over there.
    otherwise: {
      'ID token': '403 not_granted',
      'JWT-SVID': '403 not_granted',
      SigV4: '403 not_granted',
    },
    belongs: ['workload JWT'],
  },
  {
    name: 'Bearer at administration',
    present: (token, { world }) =>
      fetch(`${world.url}/admin/v1/sessions`, { headers: { authorization: `Bearer ${token}` } }),
    refusal: '401 unauthenticated',
    // Told what is missing: a proof.
    otherwise: { 'bound handle': '401 invalid_token' },
    belongs: ['admin token'],
  },
  {
    name: 'Bearer at introspection',
    present: (token, { world }) =>
      fetch(`${world.url}/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
        body: new URLSearchParams({ token: 'something' }),
      }),
    refusal: '401 invalid_token',
    belongs: ['admin token', 'handle'],
  },
  {
    name: 'token of an introspection',
    present: (token, { world }) =>
      fetch(`${world.url}/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
        body: new URLSearchParams({ token }),
      }),
    refusal: '200 inactive',
    // Whoever shows the same token twice asks for its own handle.
    otherwise: { 'admin token': '401 invalid_token' },
    belongs: ['handle', 'bound handle'],
  },
  {
    name: 'DPoP header of an exchange',
    present: async (token, site) => {
      const attestation = await make('workload JWT', site)
      const form = { subject_token: attestation, subject_token_type: `${TT}jwt` }
      return exchange(form, site, { dpop: token })
    },
    refusal: '400 invalid_dpop_proof',
    belongs: ['DPoP proof'],
  },
  {
    name: 'DPoP header of an action',
    present: async (token, site) => {
      const handle = await make('bound handle', site)
      const headers = { authorization: `DPoP ${handle}`, dpop: token }
      return fetch(`${site.world.url}${AT_TARGET}`, { headers })
    },
    refusal: '401 invalid_dpop_proof',
    belongs: [],
  },
  {
    name: 'security event',
    present: (token, { world }) =>
      fetch(`${world.url}/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/secevent+jwt' },
        body: token,
      }),
    refusal: '400 invalid_request',
    belongs: ['security event token'],
  },
]

const NAMED = PLACES.map((place) => [place.name, place] as const)

async function told(response: Response): Promise<string> {
  const text = await response.text()
  let body: Readonly<Record<string, unknown>> = {}
  try {
    body = JSON.parse(text) as typeof body
  } catch {
    // An answer without a body is one that was taken.
  }
  const inactive = body['active'] === false ? 'inactive' : undefined
  return `${response.status} ${String(body['error'] ?? body['code'] ?? body['err'] ?? inactive)}`
}

const ROWS = 'JB-07 JW-12 WI-01 GHSA-7fpj-9hr8-28vh GHSA-v9xq-2mvm-x8xc CVE-2026-9094'

describe.each(ENTRIES)(`${ROWS}: cross-use on the %s entry`, (entry) => {
  let site: Site
  beforeAll(async () => {
    const world = await startWorld(entry)
    const key = await proofKey()
    site = { world, key, kinds: await startKinds(world, key) }
  })
  afterAll(async () => {
    await site?.kinds.close()
    await site?.world.stop()
  })

  test.each(NAMED)('%s: no token that does not belong there', async (_, place) => {
    const { belongs, otherwise = {}, refusal } = place
    const wrong: Record<string, string> = {}
    for (const kind of Object.keys(site.kinds.of)) {
      if (belongs.includes(kind)) continue
      const answer = await told(await place.present(await make(kind, site), site))
      if (answer !== (otherwise[kind] ?? refusal)) wrong[kind] = answer
    }
    expect(wrong).toEqual({})
  })

  test.each(NAMED)('%s: what belongs there is taken', async (_, place) => {
    for (const kind of place.belongs) {
      const response = await place.present(await make(kind, site), site)
      expect({ kind, status: response.ok ? 'ok' : await response.text() }).toEqual({
        kind,
        status: 'ok',
      })
      await response.body?.cancel()
    }
  })

  test('CA-10: an agent with a JWT-SVID redeems the ID-JAG that names it', async () => {
    const { keys, issuer, url } = site.world
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: issuer.url,
      sub: 'ada',
      aud: url,
      client_id: 'svid:spiffe://prod.example/agent/1',
      jti: crypto.randomUUID(),
      iat: now,
      exp: now + 60,
    }
    const header = { alg: keys.alg, kid: keys.kid, typ: 'oauth-id-jag+jwt' }
    const form = {
      assertion: await keys.sign(claims, header),
      client_assertion: await make('JWT-SVID', site),
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
    }
    const response = await bearer(form, site)
    expect({ status: response.status, body: await response.json() }).toMatchObject({
      status: 200,
      body: { token_type: 'Bearer' },
    })
  })

  test('RV-01: revocation of what is no handle ends nothing', async () => {
    for (const kind of Object.keys(site.kinds.of)) {
      if (kind.endsWith('handle')) continue
      const body = new URLSearchParams({ token: await make(kind, site) })
      const response = await fetch(`${site.world.url}/revoke`, { method: 'POST', body })
      expect({ kind, status: response.status }).toEqual({ kind, status: 200 })
    }
    const handle = await make('handle', site)
    expect((await site.world.call(handle, 'crm/v1/customers/1')).status).toBe(200)
  })
})
