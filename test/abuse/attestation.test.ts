// Attestations by an attacker with source access: another spelling of what is refused, somebody else's
// kind of token, and a policy that looks pinned and is not.
import { afterAll, describe, expect, it, vi } from 'vitest'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { ACCOUNT, mistakes as awsMistakes } from '../auth-methods/aws-iam-setup.ts'
import { asMember, presented } from '../auth-methods/certificate-contract.ts'
import {
  compiled,
  createWorld,
  type Member,
  memberOf,
  mistakes,
  outcome,
  TRUST_DOMAIN,
  verifyClaims,
} from '../auth-methods/setup.ts'
import { CA, LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'

const GITHUB = 'https://token.actions.githubusercontent.com'
const oidc = memberOf('oidc')

/** A method of oidc on this issuer, and tokens of it. */
function on(iss: string, config: JsonObject, claims: JsonObject = {}): Member {
  return {
    ...oidc,
    keysOf: iss,
    config: { issuer: iss, audiences: ['me'], ...config },
    claims: { ...oidc.claims, iss, ...claims },
  }
}

const unsafe = async (member: Member) => mistakes(await createWorld(member), member, {})
const run = async (member: Member, change: JsonObject) =>
  outcome(await verifyClaims(await createWorld(member), member, change))

describe('JW-12 a token of another kind', () => {
  it.each([
    { typ: 'refresh' },
    { typ: 'Offline' },
    { typ: 'REFRESH_TOKEN' },
    { token_use: 'refresh' },
    { token_use: 'refresh_token' },
    { token_type: 'refresh' },
    { typ: 'logout+jwt' },
  ])('is refused however its issuer spells it: %j', async (change) => {
    expect(await run(oidc, change)).toBe('type_not_allowed')
  })

  it.each([{ typ: 'Bearer' }, { token_use: 'access' }, { token_type: 'Bearer' }, { typ: 7 }])(
    'is not meant by %j',
    async (change) => expect(await run(oidc, change)).toBe('accepted'),
  )
})

describe('a pin by another name', () => {
  const workforce = (match: JsonObject) => on('https://idp.example', { preset: 'workforce', match })

  it('an address that is named by pointer has to be verified as well', async () => {
    const member = workforce({ '/email': 'boss@acme.example' })
    const boss = { email: 'boss@acme.example' }
    expect(await run(member, { ...boss, email_verified: false })).toBe('claim_mismatch')
    expect(await run(member, boss)).toBe('claim_mismatch')
    expect(await run(member, { ...boss, email_verified: true })).toBe('accepted')
  })

  it.each([{ aud: 'me' }, { iss: 'https://idp.example' }, { '/aud': 'me', email_verified: true }])(
    'RB-14 %j is true of everybody: the policy cannot be saved',
    async (match) => {
      expect(await unsafe(workforce(match))).toEqual(['/config/match unsafe'])
      const open = { namespaces: ['*'], service_accounts: ['*'], match }
      const kubernetes = memberOf('kubernetes')
      expect(mistakes(await createWorld(kubernetes), kubernetes, open)).toEqual([
        '/config/namespaces unsafe',
      ])
    },
  )

  it('RB-14 JW-10 the tenant of personal Microsoft accounts is no tenant', async () => {
    const issuer = 'https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0'
    expect(await unsafe(on(issuer, {}))).toEqual(['/config/match unsafe'])
    const preset = { preset: 'azure-entra', match: { azp: 'app-1', idtyp: 'user' } }
    expect(await unsafe(on(issuer, preset))).toEqual(['/config/match unsafe'])
    expect(await unsafe(on(issuer, { match: { oid: 'o-1' } }))).toEqual([])
  })

  it.each(['arn', '/arn'])('AW-14 a session name decides no more as a part of %s', (claim) => {
    const of = (resource: string) => ({
      match: { [claim]: { glob: `arn:aws:sts::${ACCOUNT}:assumed-role/${resource}` } },
    })
    const path = `/config/match/${claim.replace('/', '~1')}`
    expect(awsMistakes(of('*/deploy-prod'))).toEqual([`${path} unsafe`])
    expect(awsMistakes(of('dep*/deploy-*'))).toEqual([`${path} unsafe`])
    expect(awsMistakes(of('deployer/prod-*'))).toEqual([])
    expect(awsMistakes(of('*/*'))).toEqual([])
    const roles = [`arn:aws:iam::${ACCOUNT}:role/deployer`]
    expect(awsMistakes({ ...of('*/deploy-prod'), roles })).toEqual([])
  })
})

describe('pull requests', () => {
  const pinned = { match: { repository_id: '1' } }
  it.each([
    { event: 'pull_request' },
    { event: 'pull_request_target' },
    { event: 'pull_request_review' },
    { event: 'pull_request_review_comment' },
    { event: ['pull_request'] },
    { event: null },
  ])('10.5 (b) %j of GitHub is refused with and without the preset', async ({ event }) => {
    const claims = { repository_id: '1', event_name: event }
    // JSON null, which the world of the family leaves out.
    const token = (member: Member) => ({ ...member, claims: { ...member.claims, ...claims } })
    for (const config of [pinned, { ...pinned, preset: 'github-actions' }]) {
      const member = token(on(GITHUB, config))
      const world = await createWorld(member)
      const jws = await world.issuer.sign(member.claims, member.header(world.issuer))
      const attestation = { tokenType: 'urn:ietf:params:oauth:token-type:jwt', token: jws }
      expect(selectAttestation(attestation).ok).toBe(true)
      expect(outcome(await compiled(world, member).verify(attestation))).toBe('claim_mismatch')
    }
  })
})

it('SPIFFE-2 a common name of Cloudflare Access is no SPIFFE ID', async () => {
  const common_name = `spiffe://${TRUST_DOMAIN}/agents/a1`
  const iss = 'https://acme.cloudflareaccess.com'
  const config = { preset: 'cloudflare-access', match: { common_name } }
  const member = on(iss, config, { sub: '', type: 'app', common_name })
  expect(await run(member, {})).toBe('invalid_spiffe_id')
})

describe('certificates', () => {
  const lab = opensslLab()
  afterAll(() => lab.close())
  const root = lab.make({ name: 'root' })
  const other = lab.make({ name: 'other' })
  const worldOf = (type: string, config: JsonObject) =>
    createWorld(asMember({ type, config, extensions: [], subject: '' }))
  const judge = async (type: string, config: JsonObject, chain: readonly MadeCertificate[]) => {
    const member = asMember({ type, config, extensions: [], subject: '' })
    return compiled(await worldOf(type, config), member).verify(presented(chain))
  }

  it('MTLS-2 a root taken out of the policy ends the sessions of its X509-SVIDs', async () => {
    const entry = ({ der }: MadeCertificate) => ({
      use: 'x509-svid',
      kty: 'EC',
      x5c: [Buffer.from(der).toString('base64')],
    })
    const configOf = (...roots: MadeCertificate[]) => ({
      trust_domain: TRUST_DOMAIN,
      spiffe_ids: ['/agents/*'],
      bundle: { keys: roots.map(entry) },
    })
    const extensions = [...LEAF, `subjectAltName=URI:spiffe://${TRUST_DOMAIN}/agents/a1`]
    const svid = lab.make({ name: 'svid', issuer: root, extensions })
    const opened = await judge('spiffe-x509', configOf(root), [svid])
    const claims = opened.ok ? opened.value.claims : {}
    const accepts = async (...roots: MadeCertificate[]) => {
      const member = asMember({
        type: 'spiffe-x509',
        config: configOf(...roots),
        extensions: [],
        subject: '',
      })
      return compiled(await createWorld(member), member).accepts(claims)
    }
    expect([await accepts(other, root), await accepts(other)]).toEqual([true, false])
  })

  it('SPIFFE-4 a chain of dear keys costs no more before many methods than before one', async () => {
    const config = { ca: root.pem, sans: { dns: ['*.agents.example'] } }
    const member = asMember({ type: 'mtls', config, extensions: [], subject: '' })
    const world = await createWorld(member)
    const crowd = { name: 'x', subject: '/CN=x', extensions: CA }
    const first = lab.make(crowd)
    const others = Array.from({ length: 8 }, () =>
      lab.make({ ...crowd, issuer: first, reuseKeyOf: first }),
    )
    const attestation = presented([lab.make({ name: 'a', issuer: first }), first, ...others])
    const verify = vi.spyOn(crypto.subtle, 'verify')
    try {
      for (let i = 0; i < 20; i += 1) {
        expect(outcome(await compiled(world, member).verify(attestation))).toBe(
          'certificate_refused',
        )
      }
      expect(verify.mock.calls.length).toBeLessThanOrEqual(16)
    } finally {
      verify.mockRestore()
    }
  })

  it('RFC 5280 7.2 a host in another case is the same caller', async () => {
    const config = { ca: root.pem, sans: { dns: ['*.agents.example'] } }
    const subjects = ['a.agents.example', 'A.Agents.EXAMPLE'].map(async (host) => {
      const extensions = [...LEAF, `subjectAltName=DNS:${host}`]
      const seen = await judge('mtls', config, [lab.make({ name: 'a', issuer: root, extensions })])
      return seen.ok && seen.value.subject
    })
    expect(new Set(await Promise.all(subjects))).toEqual(new Set(['a.agents.example']))
  })

  it('SPIFFE-4 a CA that is held to hosts names no other host in a common name', async () => {
    const limited = lab.make({
      name: 'limited',
      issuer: root,
      extensions: [...CA, 'nameConstraints=critical,permitted;DNS:agents.example'],
    })
    const leafOf = (host: string, extensions: readonly string[] = LEAF) =>
      lab.make({ name: 'leaf', subject: `/O=Acme/CN=${host}`, issuer: limited, extensions })
    const subjects = ['admin.prod.example', 'a.agents.example', 'agent-7'].map(
      (host) => `CN=${host},O=Acme`,
    )
    const of = async (leaf: MadeCertificate) =>
      outcome(await judge('mtls', { ca: root.pem, subjects }, [leaf, limited]))
    const foreign = leafOf('admin.prod.example')
    const now = Date.UTC(2027, 0, 1) / 1000
    expect(lab.accepts({ chain: [foreign, limited], roots: [root], now })).toBe(false)
    expect(await of(foreign)).toBe('certificate_refused')
    const both = [...LEAF, 'subjectAltName=DNS:a.agents.example']
    expect(await of(leafOf('admin.prod.example', both))).toBe('certificate_refused')
    expect(await of(leafOf('a.agents.example'))).toBe('accepted')
    expect(await of(leafOf('agent-7'))).toBe('accepted')
  })
})
