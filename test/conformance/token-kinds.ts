// Every kind of token that the system mints or accepts, or that an identity provider signs with the same keys:
// each as its maker would make it, with every claim that could help it pass for another.
import { AwsV4Signer } from 'aws4fetch'
import { callerDocument } from '../fakes/sts.ts'
import type { ProofKey } from '../fakes/proof-key.ts'
import { type TokenIssuer, tokenIssuer } from '../fakes/token-issuer.ts'
import { ADMIN_TOKEN, applyPolicy, type Peer, policyOf, startPeer, type World } from './world.ts'

type Part = Readonly<Record<string, unknown>>
type Make = () => string | Promise<string>

export type Kinds = {
  /** Makes one of each kind; a name per kind. */
  readonly of: Readonly<Record<string, Make>>
  close(): Promise<void>
}

const ACCOUNT = '123456789012'
const BODY = 'Action=GetCallerIdentity&Version=2011-06-15'
const OPAQUE = 'saas-token-0123456789'
const LOGOUT = { 'http://schemas.openid.net/event/backchannel-logout': {} }
const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

/** Starts what vouches for them, and applies a policy in which each kind opens something at its own place. */
export async function startKinds(world: World, key: ProofKey): Promise<Kinds> {
  const authority = await tokenIssuer('ES256', 'authority-key', 'jwt-svid')
  const sts = await startSts()
  const saas = await startSaas()
  const stored = await world.admin('PUT', '/secrets/saas', {
    value: 'id:secret',
    allowed_origins: [saas.url],
  })
  if (!stored.ok) throw new Error(await stored.text())
  await applyPolicy(world, policyOfKinds(world, { authority, sts, saas }))
  return {
    of: {
      ...ownKinds(world, key),
      ...federationKinds(world, sts),
      ...platformKinds(world, { authority, sts }),
      ...issued(world),
    },
    close: async () => void (await Promise.all([sts.close(), saas.close()])),
  }
}

type Others = { readonly authority: TokenIssuer; readonly sts: Peer; readonly saas: Peer }

function policyOfKinds(world: World, { authority, sts, saas }: Others) {
  const policy = policyOf(world)
  const [ci, ...methods] = policy.auth_methods
  const [crm] = policy.bindings
  const issuer = world.issuer.url
  const method = (name: string, type: string, config: Part) => ({ name, type, config })
  const names = ['ci', 'svid', 'aws', 'saas']
  const handingOver = { auth_method: 'ci', delivery: 'credential', ttl_seconds: 300 }
  const grants = [{ effects: ['read'], objects: ['read'] }]
  return {
    ...policy,
    targets: [
      ...policy.targets,
      {
        name: 'chat',
        type: 'id-jag',
        config: {
          audience: 'https://chat.example',
          client_id: 'ci:agent-7',
          subject_issuer: issuer,
          login_client_id: 'people',
          scopes: { read: 'read' },
        },
      },
      {
        name: 'lake',
        type: 'aws-sts',
        config: {
          region: 'eu-central-1',
          role_arn: `arn:aws:iam::${ACCOUNT}:role/lake`,
          sts_endpoint: sts.url,
          assume_by: 'web_identity',
        },
      },
      {
        name: 'mesh',
        type: 'txn-token',
        config: { audience: 'sallyport', scopes: { read: 'read' } },
      },
    ],
    auth_methods: [
      { ...ci, config: { ...ci?.config, security_events: { audience: `${world.url}/events` } } },
      ...methods,
      {
        ...method('people', 'oidc', { issuer, audiences: ['people'], id_jag: {} }),
        subject: 'user',
      },
      method('svid', 'spiffe-jwt', {
        trust_domain: 'prod.example',
        spiffe_ids: ['/agent/*'],
        audiences: ['sallyport'],
        bundle: { keys: [authority.publicJwk], spiffe_sequence: 1 },
      }),
      method('aws', 'aws-iam', {
        accounts: [ACCOUNT],
        roles: [`arn:aws:iam::${ACCOUNT}:role/agent`],
        regions: ['eu-central-1'],
        sts_endpoint: sts.url,
      }),
      method('saas', 'oauth-introspection', {
        introspection_endpoint: `${saas.url}/introspect`,
        secret: 'sealed:saas',
        match: { client_id: 'our-app' },
      }),
    ],
    bindings: [
      ...names.map((name) => ({ ...crm, name: `${name}-crm`, auth_method: name })),
      ...names.map((name) => ({
        ...crm,
        name: `${name}-crm-for-people`,
        auth_method: name,
        on_behalf_of: ['people'],
      })),
      { ...handingOver, name: 'chat', target: 'chat', grants, on_behalf_of: ['people'] },
      { ...handingOver, name: 'mesh', target: 'mesh', grants },
      {
        ...handingOver,
        name: 'lake',
        target: 'lake',
        grants: [{ effects: ['read'], objects: ['arn:aws:s3:::lake/*'] }],
      },
    ],
  }
}

/** Of this broker. */
function ownKinds(world: World, key: ProofKey): Readonly<Record<string, Make>> {
  const url = `${world.url}/token-exchange`
  const made = new Map<string, Promise<string>>()
  const once = (name: string, make: () => Promise<string>) => () => {
    const known = made.get(name) ?? make()
    made.set(name, known)
    return known
  }
  return {
    handle: once('handle', () => world.handle()),
    'bound handle': once('bound', async () => {
      const form = {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: await world.token(),
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        audience: 'crm',
      }
      const answer = await world.post(form, { headers: { dpop: await key.proof({ url }) } })
      return String(((await answer.json()) as Part)['access_token'])
    }),
    'DPoP proof': () => key.proof({ url }),
    'admin token': () => ADMIN_TOKEN,
  }
}

/** Of this broker, under the keys of ISSUER/federation: for others, and worth nothing here. */
function federationKinds(world: World, sts: Peer): Readonly<Record<string, Make>> {
  const type = 'urn:ietf:params:oauth:token-type:'
  const ask = async (form: Readonly<Record<string, string>>) => {
    const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
    const answer = await world.post({ grant_type: grant, ...form })
    const body = (await answer.json()) as Part
    if (!answer.ok) throw new Error(JSON.stringify(body))
    return String(body['access_token'])
  }
  const awsCredentials = async () =>
    ask({
      audience: 'lake',
      requested_token_type: 'urn:sallyport:token-type:aws-credentials',
      subject_token: await world.token(),
      subject_token_type: `${type}jwt`,
    })
  return {
    'AWS session token': awsCredentials,
    // What AWS is shown, as somebody between here and there would have it.
    'web identity token of this broker': async () => {
      await awsCredentials()
      const sent = sts.seen.map(({ body }) => new URLSearchParams(body).get('WebIdentityToken'))
      return sent.findLast((token) => token !== null) ?? ''
    },
    'ID-JAG of this broker': async () =>
      ask({
        audience: 'chat',
        scope: 'read',
        requested_token_type: `${type}id-jag`,
        subject_token: await world.token({ sub: 'ada', aud: 'people' }),
        subject_token_type: `${type}id_token`,
        actor_token: await world.token(),
        actor_token_type: `${type}jwt`,
      }),
    // For the very audience that `ci` takes tokens for.
    'transaction token of this broker': async () =>
      ask({
        audience: 'mesh',
        scope: 'read',
        requested_token_type: `${type}txn_token`,
        subject_token: await world.token(),
        subject_token_type: `${type}jwt`,
      }),
  }
}

/** Of a runtime. */
function platformKinds(
  world: World,
  { authority, sts }: Pick<Others, 'authority' | 'sts'>,
): Readonly<Record<string, Make>> {
  const now = () => Math.floor(Date.now() / 1000)
  return {
    'workload JWT': () => world.token(),
    'JWT-SVID': () =>
      authority.sign({
        sub: 'spiffe://prod.example/agent/1',
        aud: ['sallyport'],
        iat: now(),
        exp: now() + 300,
      }),
    SigV4: async () => {
      const signer = new AwsV4Signer({
        accessKeyId: 'ASIAROLE00000000000A',
        secretAccessKey: 'role/secret+key',
        sessionToken: 'FwoGZXIvYXdzEBYaD+/session==token',
        method: 'POST',
        url: `${sts.url}/`,
        headers: {
          'x-sallyport-server-id': world.url,
          'x-sallyport-nonce': crypto.randomUUID(),
        },
        body: BODY,
        service: 'sts',
        region: 'eu-central-1',
      })
      const { headers } = await signer.sign()
      const lists = Object.fromEntries([...headers].map(([name, value]) => [name, [value]]))
      const envelope = { method: 'POST', url: `${sts.url}/`, headers: lists, body: BODY }
      return Buffer.from(JSON.stringify(envelope)).toString('base64url')
    },
    'opaque SaaS token': () => OPAQUE,
    'literal tls': () => 'tls',
  }
}

/** Of the identity provider, by the very keys that sign what `ci` and `people` accept. */
function issued({ keys, issuer, url, token }: World): Readonly<Record<string, Make>> {
  const now = () => Math.floor(Date.now() / 1000)
  const typed =
    (typ: string | null, claims: Part = {}): Make =>
    async () => {
      const base = {
        iss: issuer.url,
        sub: 'agent-7',
        aud: 'sallyport',
        iat: now(),
        exp: now() + 300,
        jti: crypto.randomUUID(),
        team: 'support',
        ...claims,
      }
      const { alg, kid } = keys
      // Undefined members are left out by JSON.
      return keys.sign(JSON.stringify(base), JSON.stringify({ alg, kid, ...(typ && { typ }) }))
    }
  const user = { aud: 'people', sub: 'ada' }
  const jag = { ...user, aud: url, client_id: 'ci:agent-7', resource: `${url}/t/crm` }
  return {
    'ID token': typed('JWT', { ...user, nonce: 'n' }),
    'ID-JAG': typed('oauth-id-jag+jwt', jag),
    'ID-JAG without a type': typed(null, jag),
    'transaction token': typed('txntoken+jwt', { txn: 't-1', scope: 'read', req_wl: 'w' }),
    'security event token': typed('secevent+jwt', {
      aud: `${url}/events`,
      exp: undefined,
      sub: undefined,
      sub_id: { format: 'iss_sub', iss: issuer.url, sub: 'nobody' },
      events: { [REVOKED]: {} },
    }),
    'logout token': typed('logout+jwt', { ...user, events: LOGOUT }),
    // Keycloak GHSA-7fpj-9hr8-28vh: the header says JWT.
    'logout token of Keycloak': typed('JWT', { ...user, typ: 'Logout', events: LOGOUT }),
    'logout token without events': typed('JWT', { typ: 'Logout' }),
    'refresh token of Keycloak': typed('JWT', { typ: 'Refresh' }),
    'offline token of Keycloak': typed('JWT', { typ: 'Offline' }),
    'refresh token by token_use': typed('JWT', { token_use: 'refresh_token' }),
    'refresh token by token_type': typed('JWT', { token_type: 'refresh' }),
    'opaque refresh token': () => 'rt_8f14e45fceea167a5a36dedd4bea2543',
    'access token of the issuer': typed('at+jwt', { client_id: 'agent-7', scope: 'read' }),
    'client assertion': typed('client-authentication+jwt', { iss: 'agent-7', aud: url }),
    'typed client assertion of the issuer': typed('client-authentication+jwt'),
    'workload identity token': typed('wit+jwt', { cnf: { jwk: keys.publicJwk } }),
    // Duende GHSA-v9xq-2mvm-x8xc: bound to a key, and shown without it.
    'key-bound JWT': async () =>
      token({ cnf: { jkt: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' } }),
    // Casdoor CVE-2026-9094: of another organisation at the same issuer.
    'JWT of another tenant': async () => token({ team: 'other-organisation' }),
  }
}

async function startSts(): Promise<Peer> {
  const caller = {
    account: ACCOUNT,
    arn: `arn:aws:sts::${ACCOUNT}:assumed-role/agent/i-0abc`,
    userId: 'AROAEXAMPLE000000000:i-0abc',
  }
  return startPeer((_request, response, _peer, body) => {
    const asked = new URLSearchParams(body)
    const isAssumed = asked.get('Action') === 'AssumeRoleWithWebIdentity'
    response.writeHead(200, { 'content-type': isAssumed ? 'text/xml' : 'application/json' })
    response.end(isAssumed ? assumedDocument(asked) : JSON.stringify(callerDocument(caller)))
  })
}

function assumedDocument(asked: URLSearchParams): string {
  const end = new Date(Date.now() + Number(asked.get('DurationSeconds')) * 1000).toISOString()
  const name = asked.get('RoleSessionName') ?? ''
  const tag = (element: string, text: string) => `<${element}>${text}</${element}>`
  const credentials = [
    tag('AccessKeyId', 'ASIALAKE000000000000'),
    tag('SecretAccessKey', 'lake+secret/0123456789'),
    tag('SessionToken', 'FwoGZXIvYXdzEBYaDLake0123456789'),
    tag('Expiration', end),
  ]
  const role = [
    tag('Arn', `arn:aws:sts::${ACCOUNT}:assumed-role/lake/${name}`),
    tag('AssumedRoleId', `AROALAKE000000000000:${name}`),
  ]
  const result = tag('Credentials', credentials.join('')) + tag('AssumedRoleUser', role.join(''))
  const answer = tag('AssumeRoleWithWebIdentityResult', result)
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${answer}</AssumeRoleWithWebIdentityResponse>`
}

async function startSaas(): Promise<Peer> {
  return startPeer((_request, response, _peer, body) => {
    const active = new URLSearchParams(body).get('token') === OPAQUE
    const exp = Math.floor(Date.now() / 1000) + 300
    const known = { active, sub: 'bot', client_id: 'our-app', exp }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(active ? known : { active }))
  })
}
