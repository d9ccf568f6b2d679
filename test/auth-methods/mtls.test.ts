// mtls beyond the contract of the certificate methods: whom a method names, and what it refuses to leave
// open.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import {
  asMember,
  certificateMethodContract,
  type CertificateMember,
  presented,
  verdict,
} from './certificate-contract.ts'
import { compiled, createWorld, mistakes, type World } from './setup.ts'

const lab = opensslLab()
afterAll(() => lab.close())
const root = lab.make({ name: 'root' })
const san = (names: string) => [...LEAF, `subjectAltName=${names}`]

const member: CertificateMember = {
  type: 'mtls',
  config: { ca: root.pem, sans: { dns: ['agent.example'] } },
  extensions: san('DNS:agent.example'),
  subject: 'agent.example',
}

certificateMethodContract(member, lab, root)

let world: World
beforeAll(async () => {
  world = await createWorld(asMember(member))
})

const ONLY_CA = { sans: null }
const judge = (certificate: MadeCertificate, config: JsonObject) =>
  verdict(world, member, presented([certificate]), { ...ONLY_CA, ...config })
const noted = (config: JsonObject) => mistakes(world, asMember(member), { ...ONLY_CA, ...config })
const sha256 = ({ der }: MadeCertificate) => createHash('sha256').update(der).digest('hex')

describe('CA-08 what names the caller', () => {
  const both = lab.make({
    name: 'both',
    issuer: root,
    subject: '/C=DE/O=Acme, Inc./CN=agent 7',
    extensions: san(
      'DNS:a.agents.example,DNS:other.example,URI:https://acme.example/agents/7,email:a@x.example,IP:10.0.0.7,IP:2001:db8::7',
    ),
  })
  const rows: readonly (readonly [string, JsonObject, string])[] = [
    ['a DNS name', { sans: { dns: ['a.agents.example'] } }, 'accepted'],
    ['a DNS label', { sans: { dns: ['*.agents.example'] } }, 'accepted'],
    ['another DNS label', { sans: { dns: ['*.example.com'] } }, 'claim_mismatch'],
    ['a DNS name as a URI', { sans: { uri: ['a.agents.example'] } }, 'claim_mismatch'],
    ['a DNS name as a subject', { subjects: ['a.agents.example'] }, 'claim_mismatch'],
    ['a URI', { sans: { uri: ['https://acme.example/agents/7'] } }, 'accepted'],
    ['a URI pattern', { sans: { uri: [{ glob: 'x' }] } }, 'invalid'],
    ['a URI glob', { sans: { uri: ['https://acme.example/agents/*'] } }, 'accepted'],
    ['a URI glob of others', { sans: { uri: ['https://acme.example/bots/*'] } }, 'claim_mismatch'],
    ['an e-mail address', { sans: { email: ['a@x.example'] } }, 'accepted'],
    ['the domain in another case', { sans: { email: ['A@x.example'] } }, 'claim_mismatch'],
    ['an IPv4 address', { sans: { ip: ['10.0.0.7'] } }, 'accepted'],
    ['an IPv6 address', { sans: { ip: ['2001:db8::7'] } }, 'accepted'],
    ['another address', { sans: { ip: ['10.0.0.70'] } }, 'claim_mismatch'],
    ['a subject', { subjects: ['CN=agent 7,O=Acme\\, Inc.,C=DE'] }, 'accepted'],
    ['a part of the subject', { subjects: ['CN=agent 7'] }, 'claim_mismatch'],
    [
      'the subject in another order',
      { subjects: ['C=DE,O=Acme\\, Inc.,CN=agent 7'] },
      'claim_mismatch',
    ],
    ['a fingerprint', { fingerprints: [sha256(both)] }, 'accepted'],
    ['another fingerprint', { fingerprints: [sha256(root)] }, 'claim_mismatch'],
    ['two kinds that hold', { sans: { dns: ['a.agents.example'], ip: ['10.0.0.7'] } }, 'accepted'],
    [
      'two kinds, one wrong',
      { sans: { dns: ['a.agents.example'], ip: ['10.0.0.8'] } },
      'claim_mismatch',
    ],
    [
      'a SAN and a wrong subject',
      { sans: { dns: ['other.example'] }, subjects: ['CN=x'] },
      'claim_mismatch',
    ],
  ]
  it.each(rows)('CA-08 %s: %j is %s', async (_name, config, expected) => {
    if (expected === 'invalid') expect(noted(config)).not.toEqual([])
    else expect(await judge(both, config)).toBe(expected)
  })

  it.each([
    [
      {
        sans: {
          ip: ['10.0.0.7'],
          dns: ['*.agents.example'],
          uri: ['https://acme.example/agents/7'],
        },
      },
      'https://acme.example/agents/7',
    ],
    [{ sans: { ip: ['10.0.0.7'], dns: ['*.agents.example'] } }, 'a.agents.example'],
    [
      { subjects: ['CN=agent 7,O=Acme\\, Inc.,C=DE'], fingerprints: [sha256(both)] },
      'CN=agent 7,O=Acme\\, Inc.,C=DE',
    ],
    [{ fingerprints: [sha256(both)] }, sha256(both)],
  ])('CA-08 the configuration says which name is the subject (%#)', async (config, subject) => {
    const method = compiled(world, asMember(member), { ...ONLY_CA, ...config })
    const result = await method.verify(presented([both]))
    expect(result.ok && result.value.subject).toBe(subject)
  })

  it('RB-12 a wildcard in the certificate is no host, and matches no label', async () => {
    const wild = lab.make({ name: 'wild', issuer: root, extensions: san('DNS:*.agents.example') })
    expect(await judge(wild, { sans: { dns: ['*.agents.example'] } })).toBe('claim_mismatch')
  })

  it('RB-12 dots and slashes in names do not carry a pattern further', async () => {
    const deep = lab.make({
      name: 'deep',
      issuer: root,
      extensions: san(
        'DNS:a.b.agents.example,DNS:agents.example,URI:https://acme.example/agents/../root',
      ),
    })
    expect(await judge(deep, { sans: { dns: ['*.agents.example'] } })).toBe('claim_mismatch')
    expect(await judge(deep, { sans: { uri: ['https://acme.example/agents/*'] } })).toBe(
      'claim_mismatch',
    )
    expect(await judge(deep, { sans: { uri: ['https://acme.example/agents/*/*'] } })).toBe(
      'claim_mismatch',
    )
  })

  it('CVE-2025-6037 a common name that says what a SAN should counts for nothing', async () => {
    const named = lab.make({ name: 'x', issuer: root, subject: '/CN=agent.example' })
    expect(await judge(named, { sans: { dns: ['agent.example'] } })).toBe('claim_mismatch')
  })
})

describe('CVE-2024-2048 pinned certificates', () => {
  const self = lab.make({ name: 'self', extensions: LEAF })

  it('accepts exactly the pinned certificate, and in its time only', async () => {
    const pin = { ca: null, fingerprints: [sha256(self)] }
    expect(await judge(self, pin)).toBe('accepted')
    expect(await judge(lab.make({ name: 'self', extensions: LEAF }), pin)).toBe('claim_mismatch')
    const sameKey = lab.make({ name: 'self', extensions: LEAF, reuseKeyOf: self })
    expect(await judge(sameKey, pin)).toBe('claim_mismatch')
    const old = lab.make({ name: 'self', extensions: LEAF, notAfter: '20261231000000Z' })
    expect(await judge(old, { ca: null, fingerprints: [sha256(old)] })).toBe('expired')
  })

  it('takes a fingerprint as openssl prints it', async () => {
    const printed = sha256(self).toUpperCase().match(/../g)?.join(':') ?? ''
    expect(await judge(self, { ca: null, fingerprints: [printed] })).toBe('accepted')
  })

  it('with a CA, a fingerprint narrows and never replaces it', async () => {
    expect(await judge(self, { fingerprints: [sha256(self)] })).toBe('unknown_issuer')
  })
})

describe('SPIFFE-2 SPIFFE IDs', () => {
  it('a certificate with a SPIFFE ID is never judged by mtls', async () => {
    for (const names of [
      'URI:spiffe://prod.example/a',
      'URI:SPIFFE://prod.example/a,DNS:agent.example',
    ]) {
      const svid = lab.make({ name: 'svid', issuer: root, extensions: san(names) })
      expect(await judge(svid, { subjects: ['CN=svid'] })).toBe('invalid_spiffe_id')
      const selected = selectAttestation(presented([svid]))
      expect(selected.ok && selected.value.by === 'token_type').toBe(false)
    }
  })
})

describe('MTLS-4 open sessions', () => {
  it('MTLS-2 end with the CA, the name or the pin that they were opened by', async () => {
    const leaf = lab.make({ name: 'agent', issuer: root, extensions: member.extensions })
    const opened = await compiled(world, asMember(member)).verify(presented([leaf]))
    const claims = opened.ok ? opened.value.claims : {}
    const accepts = (config: JsonObject) =>
      compiled(world, asMember(member), config).accepts(claims)
    expect(accepts({})).toBe(true)
    expect(accepts({ ca: `${lab.make({ name: 'root' }).pem}\n${root.pem}` })).toBe(true)
    expect(accepts({ ca: lab.make({ name: 'root' }).pem })).toBe(false)
    expect(accepts({ sans: { dns: ['b.example'] } })).toBe(false)
    expect(accepts({ fingerprints: ['0'.repeat(64)] })).toBe(false)
  })

  it('MTLS-4 another certificate of the same CA is another caller', async () => {
    const names = ['a', 'b'].map((name) =>
      lab.make({ name, issuer: root, extensions: san(`DNS:${name}.agents.example`) }),
    )
    const method = compiled(world, asMember(member), { sans: { dns: ['*.agents.example'] } })
    const subjects = []
    for (const leaf of names) {
      const result = await method.verify(presented([leaf]))
      subjects.push(result.ok && result.value.subject)
    }
    expect(subjects).toEqual(['a.agents.example', 'b.agents.example'])
  })
})

describe('POL-4 unsafe configuration', () => {
  it('CA-08 a CA alone admits everybody it signs for, and is refused', () => {
    expect(noted({})).toEqual(['/config unsafe'])
    expect(noted({ match: { issuer: 'CN=root' } })).toEqual(['/config unsafe'])
    expect(noted({ ca: null })).toEqual(['/config unsafe', '/config/ca required'])
    expect(noted({ ca: null, subjects: ['CN=x'] })).toEqual(['/config/ca required'])
  })

  it.each([
    ['nothing', ''],
    ['no PEM', 'x'],
    ['a private key beside it', `${root.pem}\n${root.keyPem}`],
    ['a broken block', root.pem.replace('M', '*')],
    ['a cut block', root.pem.replace('-----END CERTIFICATE-----', '')],
    ['33 of them', root.pem.repeat(33)],
  ])('refuses a ca that is %s', (_name, ca) => {
    expect(noted({ ca, subjects: ['CN=x'] })).toEqual(['/config/ca format'])
  })

  it('CVE-2024-2048 refuses a leaf among the CAs', () => {
    const leaf = lab.make({ name: 'leaf', issuer: root })
    expect(noted({ ca: `${root.pem}${leaf.pem}`, subjects: ['CN=x'] })).toEqual([
      '/config/ca unsafe',
    ])
  })

  it.each([
    [{ sans: {} }, ['/config/sans type']],
    [{ sans: ['x'] }, ['/config/sans type']],
    [{ sans: { cn: ['x'] } }, ['/config/sans/cn unknown_member']],
    [{ sans: { dns: [] } }, ['/config/sans/dns range']],
    [{ sans: { dns: ['*'] } }, ['/config/sans/dns/0 unsafe']],
    [{ sans: { dns: ['*.example'] } }, ['/config/sans/dns/0 unsafe']],
    [{ sans: { dns: ['a.*.example'] } }, ['/config/sans/dns/0 unsafe']],
    [{ sans: { dns: ['a*.agents.example'] } }, ['/config/sans/dns/0 format']],
    [{ sans: { dns: ['Agents.example'] } }, ['/config/sans/dns/0 format']],
    [{ sans: { uri: ['*'] } }, ['/config/sans/uri/0 unsafe']],
    [{ sans: { uri: ['https://*'] } }, ['/config/sans/uri/0 unsafe']],
    [{ sans: { uri: ['spiffe://prod.example/a'] } }, ['/config/sans/uri/0 unsafe']],
    [{ sans: { email: ['*@x.example'] } }, ['/config/sans/email/0 unsafe']],
    [{ sans: { ip: ['10.0.0.0/8'] } }, ['/config/sans/ip/0 format']],
    [{ sans: { ip: ['2001:DB8:0::7'] } }, ['/config/sans/ip/0 format']],
    [{ subjects: [] }, ['/config/subjects range']],
    [{ subjects: [''] }, ['/config/subjects/0 format']],
    [{ fingerprints: ['abc'] }, ['/config/fingerprints/0 format']],
    [{ fingerprints: ['a'.repeat(40)] }, ['/config/fingerprints/0 format']],
  ])('POL-4 %j is %j', (config, expected) => {
    expect(noted(config)).toEqual(expected)
  })
})
