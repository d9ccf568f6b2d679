// What every certificate method owes, whichever it is: the certificate of the connection and nothing
// else, proven by the platform, judged anew each time. Each member passes this first, then its own tests.
import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import type { UntrustedAttestation } from '../../functions/core/auth-method.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import type { MadeCertificate, OpensslLab } from '../fakes/openssl.ts'
import { CA, LEAF } from '../fakes/openssl.ts'
import {
  compiled,
  createWorld,
  type Member,
  mistakes,
  NOW,
  outcome,
  policy,
  type World,
} from './setup.ts'

export function presented(
  chain: readonly { readonly der: Uint8Array }[],
  over: Partial<UntrustedAttestation> = {},
): UntrustedAttestation {
  return {
    tokenType: TOKEN_TYPES.mtls,
    token: 'tls',
    certificate: { chain: chain.map(({ der }) => der), provenByPlatform: true },
    ...over,
  }
}

export type CertificateMember = {
  readonly type: string
  readonly config: JsonObject
  /** Extensions of a leaf that it accepts. */
  readonly extensions: readonly string[]
  readonly subject: string
}

/** In the form that the world of the family is made with; there are no tokens here. */
export function asMember({ type, config }: CertificateMember): Member {
  return { type, config, alg: 'ES256', use: 'sig', keysOf: '', claims: {}, header: () => ({}) }
}

export async function verdict(
  world: World,
  member: CertificateMember,
  attestation: UntrustedAttestation,
  config: JsonObject = {},
): Promise<string> {
  const result = await compiled(world, asMember(member), config).verify(attestation)
  if (result.ok || result.failure.reason !== 'certificate_refused') return outcome(result)
  return String(result.failure.got)
}

export function certificateMethodContract(
  member: CertificateMember,
  lab: OpensslLab,
  root: MadeCertificate,
): void {
  describe(`contract of ${member.type}`, () => {
    let world: World
    beforeAll(async () => {
      world = await createWorld(asMember(member))
    })
    const leaf = lab.make({ name: 'agent', issuer: root, extensions: member.extensions })
    const judge = (attestation: UntrustedAttestation, config: JsonObject = {}) =>
      verdict(world, member, attestation, config)

    it('makes an identity of a valid certificate, of what was verified only', async () => {
      const result = await compiled(world, asMember(member)).verify(presented([leaf]))
      const fingerprint = createHash('sha256').update(leaf.der).digest('hex')
      expect(result.ok && result.value).toMatchObject({
        method: 'method-1',
        methodType: member.type,
        kind: 'workload',
        subject: member.subject,
        act: null,
        expiresAt: Date.UTC(2028, 0, 1) / 1000,
        attestationHash: fingerprint,
        claims: { sub: member.subject, fingerprint, subject: 'CN=agent', issuer: 'CN=root' },
      })
    })

    it('CA-09 MTLS-1 refuses without a certificate, and one whose key nobody saw proven', async () => {
      expect(await judge(presented([], { certificate: null }))).toBe('certificate_missing')
      const { certificate: _, ...none } = presented([leaf])
      expect(await judge(none)).toBe('certificate_missing')
      expect(await judge(presented([]))).toBe('certificate_missing')
      const unproven = { chain: [leaf.der], provenByPlatform: false }
      expect(await judge(presented([leaf], { certificate: unproven }))).toBe('certificate_unproven')
    })

    it.each(['', 'TLS', 'tls ', leaf.pem, 'eyJhbGciOiJub25lIn0.e30.'])(
      'MTLS-3 takes "tls" for the token and nothing else (%#)',
      async (token) => {
        expect(await judge(presented([leaf], { token }))).toBe('malformed')
      },
    )

    it.each([TOKEN_TYPES.jwt, TOKEN_TYPES.accessToken, ''])(
      'TX-05 refuses the token type "%s"',
      async (tokenType) => {
        expect(await judge(presented([leaf], { tokenType }))).toBe('unsupported_type')
      },
    )

    it('SPIFFE-4 CA-11 holds the path to its own roots and limits', async () => {
      const stranger = lab.make({ name: 'root' })
      const forged = lab.make({ name: 'agent', issuer: stranger, extensions: member.extensions })
      expect(await judge(presented([forged]))).toBe('unknown_issuer')
      expect(await judge(presented([forged, stranger]))).toBe('bad_signature')
      const old = { name: 'agent', issuer: root, extensions: member.extensions }
      expect(await judge(presented([lab.make({ ...old, notAfter: '20270101000000Z' })]))).toBe(
        'expired',
      )
      expect(await judge(presented([lab.make({ ...old, notBefore: '20270601000000Z' })]))).toBe(
        'not_yet_valid',
      )
      expect(await judge(presented(Array.from({ length: 200 }, () => leaf)))).toBe('too_many')
      expect(await judge(presented([{ der: leaf.der.slice(0, -1) }]))).toBe('malformed')
      const signing = [...member.extensions.filter((line) => !LEAF.includes(line)), ...CA]
      expect(await judge(presented([lab.make({ ...old, extensions: signing })]))).toBe(
        'signing_certificate',
      )
    })

    it('CVE-2024-2048 refuses the same names and serial with another key', async () => {
      const other = lab.make({ name: 'agent', issuer: root, extensions: member.extensions })
      const spki = (der: Uint8Array) => Buffer.from(der).indexOf('06072a8648ce3d0201', 'hex')
      const der = Uint8Array.from(leaf.der)
      const at = spki(other.der)
      der.set(other.der.slice(at, at + 80), spki(leaf.der))
      expect(await judge(presented([{ der }]))).not.toBe('accepted')
    })

    it('MTLS-2 judges every request anew, the same connection included', async () => {
      const method = compiled(world, asMember(member))
      const attestation = presented([leaf])
      expect(outcome(await method.verify(attestation))).toBe('accepted')
      world.now = Date.UTC(2028, 0, 2) / 1000
      expect(outcome(await method.verify(attestation))).toBe('expired')
      world.now = NOW
    })

    it('is found by its selector and accepts its own claims', async () => {
      const method = compiled(world, asMember(member))
      expect(selectAttestation(presented([leaf]))).toEqual({ ok: true, value: method.selector })
      const result = await method.verify(presented([leaf]))
      expect(result.ok && method.accepts(result.value.claims)).toBe(true)
      expect(method.accepts({})).toBe(false)
    })

    it('JW-07 holds the certificate to match', async () => {
      const attestation = presented([leaf])
      expect(await judge(attestation, { match: { issuer: 'CN=root' } })).toBe('accepted')
      expect(await judge(attestation, { match: { issuer: 'CN=other' } })).toBe('claim_mismatch')
      expect(await judge(attestation, { match: { absent: 'x' } })).toBe('claim_mismatch')
    })

    it('refuses unknown members, and a valid config has no mistakes', () => {
      expect(world.type.validate(policy(asMember(member)))).toEqual([])
      expect(mistakes(world, asMember(member), { audiences: ['me'] })).toEqual([
        '/config/audiences unknown_member',
      ])
    })
  })
}
