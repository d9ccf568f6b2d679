// The certificate parser: strict DER, nothing it is given makes it throw or hang, and what it reads is
// what openssl reads.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { parseCertificate } from '../../../functions/crypto/x509/certificate.ts'
import { distinguishedName } from '../../../functions/crypto/x509/names.ts'
import { decodeByteSequences, decodePem } from '../../../functions/crypto/x509/pem.ts'
import { certificateKey, signatureAlgorithm } from '../../../functions/crypto/x509/signature.ts'
import { leafFault, readChain, verifyChain } from '../../../functions/crypto/x509/verify-chain.ts'
import { LEAF, openssl, opensslLab } from '../../fakes/openssl.ts'

const lab = opensslLab()
afterAll(() => lab.close())
const root = lab.make({ name: 'root' })
const leaf = lab.make({
  name: 'leaf',
  issuer: root,
  subject: '/C=DE/O=Acme, Inc./OU=Größe/emailAddress=a@x.example/CN=agent "7"',
  extensions: [...LEAF, 'subjectAltName=URI:spiffe://prod.example/a,DNS:a.example,IP:10.0.0.1'],
})

function parse(der: Uint8Array) {
  const parsed = parseCertificate(der)
  if (!parsed.ok) throw new Error(parsed.failure)
  return parsed.value
}

const fails = (der: Uint8Array) => !parseCertificate(der).ok

describe('what is read', () => {
  it('is what openssl reads', () => {
    const ours = parse(leaf.der)
    const theirs = new X509Certificate(leaf.pem)
    expect(ours.serial.replace(/^0+/, '').toUpperCase()).toBe(
      theirs.serialNumber.replace(/^0+/, ''),
    )
    expect(ours.notAfter).toBe(Date.parse(theirs.validTo) / 1000)
    expect(ours.notBefore).toBe(Date.parse(theirs.validFrom) / 1000)
    expect(ours.names).toEqual({
      uri: ['spiffe://prod.example/a'],
      dns: ['a.example'],
      ip: ['10.0.0.1'],
      email: [],
    })
    expect(Buffer.from(ours.spki)).toEqual(theirs.publicKey.export({ type: 'spki', format: 'der' }))
  })

  it.each([
    '/C=DE/O=Acme, Inc./OU=Größe/emailAddress=a@x.example/CN=agent "7"',
    '/CN= leading and trailing ',
    '/CN=#hash',
    '/CN=a<b>;c\\\\d',
    '/DC=example/UID=7',
    '/serialNumber=1/CN=x',
    '/CN=a+OU=b',
    '/CN=',
    '/CN=tab\there',
  ])('RFC 4514: the name %j prints as openssl prints it', (subject) => {
    const made = lab.make({ name: 'named', issuer: root, subject })
    const { pem } = made
    const theirs = new X509Certificate(pem)
    const printed = opensslName(pem)
    expect(distinguishedName(parse(made.der).subject)).toBe(printed)
    expect(theirs.raw).toEqual(Buffer.from(made.der))
  })
})

function opensslName(pem: string): string {
  // Bytes beyond ASCII may stand as they are (RFC 4514 §2.4).
  const args = ['x509', '-noout', '-subject', '-nameopt', 'RFC2253,-esc_msb,utf8']
  return openssl(args, pem)
    .replace(/^subject=/, '')
    .replace(/\n$/, '')
}

describe('SPIFFE-4 strict DER', () => {
  const text = Buffer.from(leaf.der).toString('hex')
  const change = (from: string, to: string): Uint8Array => {
    if (!text.includes(from)) throw new Error(`${from} is not in it`)
    return new Uint8Array(Buffer.from(text.replace(from, to), 'hex'))
  }

  it('refuses bytes before, after and missing at every length', () => {
    expect(fails(new Uint8Array([...leaf.der, 0]))).toBe(true)
    expect(fails(new Uint8Array([0, ...leaf.der]))).toBe(true)
    for (let end = 0; end < leaf.der.length; end += 1) {
      expect(fails(leaf.der.subarray(0, end))).toBe(true)
    }
  })

  it.each([
    ['an indefinite length', '3080'],
    ['a length of four bytes', '3084000002'],
    ['a length that could be shorter', '30830002'],
  ])('refuses %s', (_name, head) => {
    expect(fails(new Uint8Array(Buffer.from(text.replace(/^3082../, head), 'hex')))).toBe(true)
  })

  it.each([
    ['version 2', 'a003020102', 'a003020101'],
    ['version 4', 'a003020102', 'a003020103'],
    ['an algorithm inside that is not the one outside', '2a8648ce3d040302', '2a8648ce3d040303'],
    ['a critical flag that is neither true nor false', '551d0f0101ff', '551d0f010101'],
    ['key usage bits beyond the unused ones', '03020780', '030207ff'],
    ['two extensions of one kind', '0603551d0f', '0603551d13'],
    ['a NUL in a name', Buffer.from('a.example').toString('hex'), '612e6578616d706c00'],
    [
      'a byte beyond ASCII in a name',
      Buffer.from('a.example').toString('hex'),
      '612e6578616d70e965',
    ],
    ['an IP address of three bytes', '87040a000001', '87030a00008200'],
    [
      'February 30',
      Buffer.from('260101000000Z').toString('hex'),
      Buffer.from('260230000000Z').toString('hex'),
    ],
    [
      "24 o'clock",
      Buffer.from('260101000000Z').toString('hex'),
      Buffer.from('260101240000Z').toString('hex'),
    ],
    [
      'a time with an offset',
      Buffer.from('260101000000Z').toString('hex'),
      Buffer.from('2601010000+00').toString('hex'),
    ],
  ])('RB-13 refuses %s', (_name, from, to) => {
    expect(fails(change(from, to))).toBe(true)
  })

  it('SPIFFE-4 never throws on a certificate with changed bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(leaf.der.length - 1), fc.nat(255)), {
          minLength: 1,
          maxLength: 6,
        }),
        async (changes) => {
          const der = Uint8Array.from(leaf.der)
          for (const [at, byte] of changes) der[at] = byte
          const parsed = parseCertificate(der)
          if (!parsed.ok) return
          distinguishedName(parsed.value.subject)
          signatureAlgorithm(parsed.value)
          await certificateKey(parsed.value)
          const roots = [parse(root.der)]
          const read = readChain([der])
          if (!read.ok) throw new Error('parsed alone and not in a chain')
          const path = await verifyChain({
            chain: read.value,
            roots,
            now: 1_800_000_000,
            purpose: 'client',
          })
          // Only the bytes that were signed, with the signature over them, are accepted.
          if (path.ok) expect(Buffer.from(der).equals(Buffer.from(leaf.der))).toBe(true)
        },
      ),
      { numRuns: 1_500 },
    )
  })

  it('SPIFFE-4 never throws on anything else', () => {
    const nested = fc.letrec<{ tree: Uint8Array }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6 },
        fc.uint8Array({ maxLength: 12 }),
        fc
          .tuple(
            fc.constantFrom(0x30, 0x31, 0xa0, 0xa3, 0x02, 0x03, 0x04, 0x06),
            fc.array(tie('tree')),
          )
          .map(([tag, parts]) => wrapped(tag, parts)),
      ),
    })).tree
    fc.assert(
      fc.property(nested, (bytes) => {
        parseCertificate(bytes)
        distinguishedName(bytes)
      }),
      { numRuns: 2_000 },
    )
    // 10,000 sequences in each other: the parser goes no deeper than a certificate.
    let deep: Uint8Array = new Uint8Array()
    for (let i = 0; i < 10_000; i += 1) deep = wrapped(0x30, [deep.subarray(0, 60_000)])
    expect(fails(deep)).toBe(true)
  })
})

function wrapped(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  const { length } = content
  const head =
    length < 128
      ? [length]
      : length < 256
        ? [0x81, length]
        : length < 65_536
          ? [0x82, length >> 8, length & 255]
          : [0x83, length >> 16, (length >> 8) & 255, length & 255]
  return new Uint8Array([tag, ...head, ...content])
}

describe('certificates as text', () => {
  it('PEM is blocks and comments, and nothing broken between', () => {
    expect(decodePem(`# roots\n${root.pem}\n${leaf.pem}`)).toHaveLength(2)
    expect(decodePem('')).toEqual([])
    expect(decodePem(`${root.pem}${root.keyPem}`)).toBe(null)
    expect(decodePem(root.pem.replace('END CERTIFICATE', 'END X509 CRL'))).toBe(null)
  })

  it('RFC 9440 is byte sequences in a list', () => {
    const item = `:${Buffer.from(leaf.der).toString('base64')}:`
    expect(decodeByteSequences(item)?.map((der) => der.length)).toEqual([leaf.der.length])
    expect(decodeByteSequences(`${item}, ${item}`)).toHaveLength(2)
    expect(decodeByteSequences('')).toEqual([])
    for (const text of [item.slice(1), `${item},`, `"${item}"`, ':*:', leaf.pem]) {
      expect(decodeByteSequences(text)).toBe(null)
    }
  })
})

const VECTORS = '../shared/vectors/go-spiffe'
const isAbsent = !existsSync(VECTORS) && process.env['CI'] === undefined

describe.skipIf(isAbsent)('SP-09 SPIFFE-4 the certificates of go-spiffe', () => {
  const folder = join(VECTORS, 'svid/x509svid/testdata')
  const read = (name: string) => {
    const blocks = readFileSync(join(folder, name), 'utf8').match(
      /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g,
    )
    return (blocks ?? []).flatMap((block) => decodePem(block) ?? [])
  }
  const IN_2020 = Date.UTC(2020, 2, 31, 20) / 1000

  it.each(
    readdirSync(existsSync(folder) ? folder : '.').filter((name) => name.startsWith('good-')),
  )('SP-09 %s is the leaf of a workload', (name) => {
    const chain = readChain(read(name))
    expect(chain.ok && leafFault(chain.value[0], 'svid')).toBe(null)
    expect(chain.ok && chain.value[0].names.uri).toEqual(['spiffe://example.org/workload-1'])
  })

  it('SP-09 good-leaf-and-intermediate.pem verifies up to the intermediate', async () => {
    const chain = readChain(read('good-leaf-and-intermediate.pem'))
    if (!chain.ok) throw new Error(chain.failure)
    const [leafOnly, ...roots] = chain.value
    const now = Date.UTC(2020, 2, 24, 14, 30) / 1000
    const verify = (input: { chain: typeof chain.value; roots: typeof roots; now: number }) =>
      verifyChain({ ...input, purpose: 'svid' })
    expect(await verify({ chain: [leafOnly], roots, now })).toMatchObject({ ok: true })
    expect(await verify({ chain: [leafOnly], roots: [], now })).toMatchObject({
      failure: 'unknown_issuer',
    })
    expect(await verify({ chain: [leafOnly], roots, now: now + 86_400 })).toMatchObject({
      failure: 'expired',
    })
  })

  it.each([
    ['wrong-leaf-ca-true.pem', 'signing_certificate'],
    ['wrong-leaf-cert-sign.pem', 'signing_certificate'],
    ['wrong-leaf-crl-sign.pem', 'signing_certificate'],
    ['wrong-leaf-no-digital-signature.pem', 'signing_certificate'],
  ])('SP-09 %s: %s', (name, expected) => {
    const chain = readChain(read(name))
    expect(chain.ok && leafFault(chain.value[0], 'svid')).toBe(expected)
  })

  it('SP-09 wrong-leaf-empty-id.pem holds no SPIFFE ID', () => {
    const chain = readChain(read('wrong-leaf-empty-id.pem'))
    expect(chain.ok && chain.value[0].names.uri).toEqual([])
  })

  it.each(['wrong-intermediate-no-ca.pem', 'wrong-intermediate-no-key-cert-sign.pem'])(
    'SP-09 %s leads nowhere, not even where its own second certificate is a root',
    async (name) => {
      const chain = readChain(read(name))
      if (!chain.ok) throw new Error(chain.failure)
      const [, ...roots] = chain.value
      const purpose = 'svid'
      const path = await verifyChain({ chain: chain.value, roots, now: IN_2020, purpose })
      expect(path.ok).toBe(false)
    },
  )

  it('what is corrupt is refused and does not throw', () => {
    expect(readChain(read('corrupt-cert.pem')).ok).toBe(false)
    expect(decodePem(readFileSync(join(folder, 'not-pem'), 'utf8'))).toEqual([])
    const bundles = join(VECTORS, 'bundle/x509bundle/testdata')
    const bundle = (name: string) => decodePem(readFileSync(join(bundles, name), 'utf8')) ?? []
    // Version 1 knows no CA bit, and so no CA.
    expect(bundle('cert.pem').map((der) => parseCertificate(der).ok)).toEqual([false])
    expect(bundle('corrupted.pem').some((der) => parseCertificate(der).ok)).toBe(false)
  })
})
