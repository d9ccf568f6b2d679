// Attestations that somebody has to be asked about, against every entry as shipped: TokenReview, token
// introspection, userinfo; and presets as an administrator saves them.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CA, opensslLab } from '../fakes/openssl.ts'
import { ENTRIES, startPeer, startWorld, type Peer, type World } from './world.ts'

const OPAQUE = 'urn:sallyport:token-type:oauth-opaque'
const CLUSTER = 'https://kubernetes.example'
const TOKEN = 'canary-opaque-token'

type Body = Record<string, unknown> & { error?: string; errors?: { path: string; code: string }[] }

describe.each(ENTRIES)('authorities on %s', (entry) => {
  let world: World
  let authority: Peer
  const says: { introspection: unknown; userinfo: unknown; review: unknown } = {
    introspection: {},
    userinfo: {},
    review: {},
  }

  beforeAll(async () => {
    world = await startWorld(entry)
    authority = await startPeer((request, response) => {
      const answer =
        request.url === '/introspect'
          ? says.introspection
          : request.url === '/me'
            ? says.userinfo
            : { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', status: says.review }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
    const allowed_origins = [authority.url]
    await put('/secrets/saas-client', { value: 'id:secret', allowed_origins })
    await put('/secrets/reviewer', { value: 'reviewer-token', allowed_origins })
    const secret = 'sealed:saas-client'
    const match = { client_id: 'our-app' }
    const introspection_endpoint = `${authority.url}/introspect`
    await method('saas', 'oauth-introspection', { introspection_endpoint, secret, match })
    const userinfo_endpoint = `${authority.url}/me`
    await method('saas-me', 'oauth-introspection', { userinfo_endpoint, match: { team_id: 'T1' } })
    await method('cluster', 'kubernetes', {
      issuer: CLUSTER,
      audiences: ['sallyport'],
      namespaces: ['analytics'],
      service_accounts: ['etl'],
      token_review: { url: authority.url, secret: 'sealed:reviewer' },
    })
  })
  afterAll(async () => {
    await world.stop()
    await authority.close()
  })

  async function put(path: string, body: unknown): Promise<void> {
    const response = await world.admin('PUT', path, body)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  }

  async function method(name: string, type: string, config: unknown): Promise<void> {
    await put(`/auth-methods/${name}`, { name, type, config })
    await put(`/bindings/${name}-crm`, {
      name: `${name}-crm`,
      auth_method: name,
      target: 'crm',
      grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
    })
  }

  async function outcome(response: Response): Promise<string> {
    const body = (await response.json()) as Body
    expect(JSON.stringify(body)).not.toContain(TOKEN)
    return response.ok ? 'granted' : `${response.status} ${body.error}`
  }

  const opaque = (auth_method: string | null) =>
    world.exchange({ subject_token: TOKEN, subject_token_type: OPAQUE, auth_method })

  const seconds = () => Math.floor(Date.now() / 1000)

  test('an opaque token opens what its application may, by the method that is named', async () => {
    const exp = seconds() + 600
    says.introspection = { active: true, sub: 'u-1', client_id: 'our-app', exp }
    says.userinfo = { sub: 'u-1', team_id: 'T1' }
    expect(await outcome(await opaque('saas'))).toBe('granted')
    expect(await outcome(await opaque('saas-me'))).toBe('granted')
    says.introspection = { active: true, sub: 'u-1', client_id: 'another-app', exp }
    says.userinfo = { sub: 'u-1', team_id: 'T2' }
    expect(await outcome(await opaque('saas'))).toBe('400 invalid_request')
    expect(await outcome(await opaque('saas-me'))).toBe('400 invalid_request')
    says.introspection = { active: false }
    expect(await outcome(await opaque('saas'))).toBe('400 invalid_request')
  })

  test('JW-01 an opaque token without auth_method is shown to nobody', async () => {
    const before = authority.seen.length
    expect(await outcome(await opaque(null))).toBe('400 invalid_request')
    expect(await outcome(await opaque('cluster'))).toBe('400 invalid_request')
    expect(await outcome(await opaque('no-such-method'))).toBe('400 invalid_request')
    expect(authority.seen.length).toBe(before)
  })

  test('K8-05 K8-06 K8S-1 the API server decides over a service account token', async () => {
    const sub = 'system:serviceaccount:analytics:etl'
    const subject_token = await world.token({
      iss: CLUSTER,
      sub,
      aud: ['sallyport'],
      'kubernetes.io': { namespace: 'analytics', serviceaccount: { name: 'etl', uid: 'uid-1' } },
    })
    says.review = {
      authenticated: true,
      audiences: ['sallyport'],
      user: { username: sub, uid: 'uid-1' },
    }
    expect(await outcome(await world.exchange({ subject_token }))).toBe('granted')
    const asked = authority.seen.at(-1)
    expect(asked?.url).toBe('/apis/authentication.k8s.io/v1/tokenreviews')
    expect(asked?.headers.authorization).toBe('Bearer reviewer-token')
    says.review = { authenticated: false, error: 'service account has been deleted' }
    expect(await outcome(await world.exchange({ subject_token }))).toBe('400 invalid_request')
  })

  test('what one runtime cannot hold a call to is refused when it is saved there', async () => {
    const lab = opensslLab()
    const { pem } = lab.make({ name: 'ca', extensions: [...CA] })
    lab.close()
    const config = {
      issuer: CLUSTER,
      audiences: ['sallyport'],
      namespaces: ['analytics'],
      service_accounts: ['etl'],
      token_review: { url: authority.url, secret: 'sealed:reviewer', ca: pem },
    }
    const response = await world.admin('POST', '/auth-methods/validate', {
      name: 'own-ca',
      type: 'kubernetes',
      config,
    })
    const { errors = [] } = (await response.json()) as Body
    const expected = entry === 'workerd' ? ['/config/token_review/ca not_supported'] : []
    expect(errors.map(({ path, code }) => `${path} ${code}`)).toEqual(expected)
  })

  test('JW-10 RB-14 a preset without its immutable pin, or one nobody knows, is 422', async () => {
    const save = async (config: Record<string, unknown>) => {
      const body = { name: 'gh', type: 'oidc', config: { audiences: ['sallyport'], ...config } }
      const response = await world.admin('PUT', '/auth-methods/gh', body)
      const { errors = [] } = (await response.json()) as Body
      return [response.status, ...errors.map(({ path, code }) => `${path} ${code}`)]
    }
    const preset = 'github-actions'
    expect(await save({ preset, match: { repository: 'acme/app' } })).toEqual([
      422,
      '/config/match unsafe',
    ])
    expect((await save({ preset: 'github', match: {} }))[1]).toBe('/config/preset value')
    expect(await save({ preset, match: { repository_id: '74' } })).toEqual([201])
  })
})
