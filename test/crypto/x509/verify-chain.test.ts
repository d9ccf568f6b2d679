// The chain verifier beside `openssl verify`: one verdict on the same files, and more refusals of our own.
import { createPublicKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseCertificate } from '../../../functions/crypto/x509/certificate.ts'
import { certificateKey } from '../../../functions/crypto/x509/signature.ts'
import {
  type ChainPurpose,
  readChain,
  verifyChain,
} from '../../../functions/crypto/x509/verify-chain.ts'
import {
  CA,
  type CertificateRequest,
  derOf,
  LEAF,
  type MadeCertificate,
  openssl,
  opensslLab,
} from '../../fakes/openssl.ts'

const NOW = Date.UTC(2027, 0, 1) / 1000
const lab = opensslLab()
afterAll(() => lab.close())

const root = lab.make({ name: 'root' })
const ca = lab.make({ name: 'ca', issuer: root, extensions: CA })
const SVID = [...LEAF, 'subjectAltName=URI:spiffe://prod.example/agents/a1']

function certificatesOf(made: readonly MadeCertificate[]) {
  return made.map(({ der }) => {
    const parsed = parseCertificate(der)
    if (!parsed.ok) throw new Error('the lab made a certificate that does not parse')
    return parsed.value
  })
}

async function verdict(
  chain: readonly MadeCertificate[],
  roots: readonly MadeCertificate[] = [root],
  purpose: ChainPurpose = 'client',
): Promise<string> {
  const read = readChain(chain.map(({ der }) => der))
  if (!read.ok) return read.failure
  const result = await verifyChain({
    chain: read.value,
    roots: certificatesOf(roots),
    now: NOW,
    purpose,
  })
  return result.ok ? 'accepted' : result.failure
}

function leafOf(issuer: MadeCertificate, over: Partial<CertificateRequest> = {}): MadeCertificate {
  return lab.make({ name: 'leaf', issuer, ...over })
}

function intermediate(
  issuer: MadeCertificate,
  extra: readonly string[] = [],
  over: Partial<CertificateRequest> = {},
): MadeCertificate {
  return lab.make({ name: 'middle', issuer, extensions: [...CA, ...extra], ...over })
}

const chainUnder = (issuer: MadeCertificate, over: Partial<CertificateRequest> = {}) => [
  leafOf(issuer, over),
  issuer,
  ca,
]

type Row = readonly [string, string, () => readonly MadeCertificate[]]
const PATH0 = ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign']
const rows: readonly Row[] = [
  ['a leaf under a root', 'accepted', () => [leafOf(root)]],
  ['a leaf under an intermediate', 'accepted', () => [leafOf(ca), ca]],
  ['the root presented too', 'accepted', () => [leafOf(ca), ca, root]],
  [
    'intermediates in another order',
    'accepted',
    () => {
      const middle = intermediate(ca)
      return [leafOf(middle), ca, middle]
    },
  ],
  ['an intermediate that is missing', 'unknown_issuer', () => [leafOf(ca)]],
  [
    'F5 a violated pathLenConstraint',
    'path_length',
    () => {
      const limited = lab.make({ name: 'limited', issuer: root, extensions: PATH0 })
      const below = intermediate(limited)
      return [leafOf(below), below, limited]
    },
  ],
  [
    'a pathLenConstraint that holds',
    'accepted',
    () => {
      const limited = lab.make({ name: 'limited', issuer: root, extensions: PATH0 })
      return [leafOf(limited), limited]
    },
  ],
  [
    'F5 an unknown critical extension in the leaf',
    'critical_extension',
    () => [leafOf(root, { extensions: [...LEAF, '1.2.3.4=critical,ASN1:UTF8String:x'] })],
  ],
  [
    'an unknown critical extension in an intermediate',
    'critical_extension',
    () => chainUnder(intermediate(ca, ['1.2.3.4=critical,ASN1:UTF8String:x'])),
  ],
  [
    'an unknown extension that is not critical',
    'accepted',
    () => [leafOf(root, { extensions: [...LEAF, '1.2.3.4=ASN1:UTF8String:x'] })],
  ],
  ['an expired leaf', 'expired', () => [leafOf(root, { notAfter: '20261231000000Z' })]],
  ['a leaf of tomorrow', 'not_yet_valid', () => [leafOf(root, { notBefore: '20270102000000Z' })]],
  [
    'an expired intermediate',
    'expired',
    () => chainUnder(intermediate(ca, [], { notAfter: '20261231000000Z' })),
  ],
  ['a leaf as CA', 'not_a_ca', () => chainUnder(leafOf(ca))],
  [
    'an intermediate without keyCertSign',
    'not_a_ca',
    () =>
      chainUnder(
        lab.make({
          name: 'no-sign',
          issuer: ca,
          extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,cRLSign'],
        }),
      ),
  ],
  [
    'an intermediate without basicConstraints',
    'not_a_ca',
    () =>
      chainUnder(
        lab.make({ name: 'no-bc', issuer: ca, extensions: ['keyUsage=critical,keyCertSign'] }),
      ),
  ],
  ['another root of the same name', 'unknown_issuer', () => [leafOf(lab.make({ name: 'root' }))]],
  [
    'another root of the same name, without key identifiers',
    'bad_signature',
    () => {
      const other = lab.make({ name: 'root' })
      return [leafOf(other, { extensions: [...LEAF, 'authorityKeyIdentifier=none'] })]
    },
  ],
  [
    'a DNS name outside the permitted ones',
    'name_constraints',
    () => {
      const middle = intermediate(ca, ['nameConstraints=critical,permitted;DNS:in.example'])
      return chainUnder(middle, { extensions: [...LEAF, 'subjectAltName=DNS:out.example'] })
    },
  ],
  [
    'a DNS name that only ends like the permitted one',
    'name_constraints',
    () => {
      const middle = intermediate(ca, ['nameConstraints=critical,permitted;DNS:in.example'])
      return chainUnder(middle, { extensions: [...LEAF, 'subjectAltName=DNS:evilin.example'] })
    },
  ],
  [
    'a DNS name inside the permitted ones',
    'accepted',
    () => {
      const middle = intermediate(ca, ['nameConstraints=critical,permitted;DNS:in.example'])
      return chainUnder(middle, { extensions: [...LEAF, 'subjectAltName=DNS:a.IN.example'] })
    },
  ],
  [
    'a DNS name in the excluded ones',
    'name_constraints',
    () => {
      const middle = intermediate(ca, ['nameConstraints=critical,excluded;DNS:out.example'])
      return chainUnder(middle, { extensions: [...LEAF, 'subjectAltName=DNS:a.out.example'] })
    },
  ],
  [
    'SPIFFE-2 a URI outside the permitted trust domain',
    'name_constraints',
    () => {
      const middle = intermediate(ca, ['nameConstraints=critical,permitted;URI:a.example'])
      return chainUnder(middle, {
        extensions: [...LEAF, 'subjectAltName=URI:spiffe://b.example/x'],
      })
    },
  ],
  [
    'a URI inside the permitted trust domain',
    'accepted',
    () => {
      const middle = intermediate(ca, ['nameConstraints=critical,permitted;URI:a.example'])
      return chainUnder(middle, {
        extensions: [...LEAF, 'subjectAltName=URI:spiffe://a.example/x'],
      })
    },
  ],
  [
    'EKU for servers alone',
    'purpose',
    () => [leafOf(root, { extensions: [...LEAF, 'extendedKeyUsage=serverAuth'] })],
  ],
  [
    'EKU for clients',
    'accepted',
    () => [leafOf(root, { extensions: [...LEAF, 'extendedKeyUsage=clientAuth'] })],
  ],
  [
    'an intermediate for servers alone',
    'purpose',
    () => chainUnder(intermediate(ca, ['extendedKeyUsage=serverAuth'])),
  ],
  [
    'a leaf that may only agree on keys for encryption',
    'key_usage',
    () => [
      leafOf(root, {
        extensions: ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,keyEncipherment'],
      }),
    ],
  ],
]

describe('SPIFFE-4 F5 as openssl judges', () => {
  it.each(rows)('SPIFFE-4 %s: %s', async (_name, expected, make) => {
    const chain = make()
    expect(await verdict(chain)).toBe(expected)
    expect(lab.accepts({ chain, roots: [root], now: NOW })).toBe(expected === 'accepted')
  })

  it.each([
    ['rsa:2048', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'], 'sha256', []],
    ['rsa:3072 sha512', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:3072'], 'sha512', []],
    [
      'rsa-pss',
      ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
      'sha384',
      ['rsa_padding_mode:pss', 'rsa_pss_saltlen:digest'],
    ],
    ['P-256 sha384', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'sha384', []],
    ['P-384 sha256', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'], 'sha256', []],
    ['P-521 sha512', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'], 'sha512', []],
    ['Ed25519', ['-algorithm', 'ED25519'], 'default', []],
  ])('JB-01 accepts signatures of %s', async (_name, key, digest, signOptions) => {
    const own = lab.make({ name: 'own-root', key, digest, signOptions })
    const leaf = leafOf(own, { digest, signOptions })
    expect(await verdict([leaf], [own])).toBe('accepted')
    expect(lab.accepts({ chain: [leaf], roots: [own], now: NOW })).toBe(true)
  })
})

describe('SPIFFE-4 stricter than openssl', () => {
  it.each([
    ['CA bit', CA],
    ['keyCertSign', ['keyUsage=critical,digitalSignature,keyCertSign']],
    ['cRLSign', ['keyUsage=critical,digitalSignature,cRLSign']],
  ])('SP-09 CA-11 refuses a leaf with %s', async (_name, extensions) => {
    expect(await verdict([leafOf(root, { extensions })])).toBe('signing_certificate')
  })

  it('SP-09 an X509-SVID needs a critical key usage, and both purposes if any', async () => {
    const judge = (extensions: readonly string[]) =>
      verdict([leafOf(root, { extensions })], [root], 'svid')
    expect(await judge(SVID)).toBe('accepted')
    expect(await judge(['basicConstraints=critical,CA:FALSE'])).toBe('key_usage')
    expect(await judge(['keyUsage=digitalSignature'])).toBe('key_usage')
    expect(await judge([...SVID, 'extendedKeyUsage=clientAuth'])).toBe('purpose')
    expect(await judge([...SVID, 'extendedKeyUsage=clientAuth,serverAuth'])).toBe('accepted')
  })

  it.each([
    ['IP addresses', 'permitted;IP:10.0.0.0/255.0.0.0'],
    ['directory names', 'permitted;dirName:dir'],
    ['e-mail addresses', 'excluded;email:example.org'],
  ])('refuses what is under constraints on %s, which it does not judge', async (_name, value) => {
    const dir = value.includes('dirName') ? ['[dir]', 'CN=x'] : []
    const middle = intermediate(ca, [`nameConstraints=critical,${value}`, ...dir])
    expect(await verdict(chainUnder(middle))).toBe('name_constraints')
  })

  it('SPIFFE-4 refuses an RSA key of 16384 bits before any arithmetic with it', async () => {
    const keyOf = async (bits: number) => {
      const [certificate] = certificatesOf([withPublicKey(rsaPublicKey(bits))])
      return certificate === undefined ? null : certificateKey(certificate)
    }
    expect(await keyOf(16_384)).toBe(null)
    expect(await keyOf(8_200)).toBe(null)
    expect(await keyOf(8_192)).not.toBe(null)
  })

  it('RB-02 refuses SHA-1, RSA below 2048 bits and unknown curves', async () => {
    const rsa = (bits: number) => ['-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${bits}`]
    const curve = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1']
    expect(await verdict([leafOf(root, { digest: 'sha1' })])).toBe('algorithm')
    for (const key of [rsa(1024), curve]) {
      expect(await verdict([leafOf(root, { key })])).toBe('weak_key')
      const own = lab.make({ name: 'weak', key })
      expect(await verdict([leafOf(own)], [own])).toBe('weak_key')
    }
  })

  it('trusts an intermediate that is listed as it stands, and its own limits hold', async () => {
    expect(await verdict([leafOf(ca)], [ca])).toBe('accepted')
    const limited = lab.make({ name: 'limited', issuer: root, extensions: PATH0 })
    const below = intermediate(limited)
    expect(await verdict([leafOf(below), below], [limited])).toBe('path_length')
    expect(
      await verdict([leafOf(root)], [lab.make({ name: 'root', notAfter: '20261231000000Z' })]),
    ).not.toBe('accepted')
  })

  it('CVE-2024-2048 a certificate that is no CA is no root, whatever lists it', async () => {
    const self = lab.make({ name: 'self', extensions: LEAF })
    expect(await verdict([self], [self])).toBe('not_a_ca')
    const twin = lab.make({ name: 'self', extensions: LEAF })
    expect(await verdict([twin], [self])).not.toBe('accepted')
  })

  it('CA-11 trusts nothing when it is given no roots', async () => {
    expect(await verdict([leafOf(ca), ca, root], [])).toBe('unknown_issuer')
  })

  it('finds the good path among cross-signed ones, and ends in a loop of them', async () => {
    const old = lab.make({ name: 'old-root' })
    const bridge = lab.make({ name: 'ca', issuer: old, extensions: CA, reuseKeyOf: ca })
    const leaf = leafOf(ca)
    expect(await verdict([leaf, bridge, ca])).toBe('accepted')
    expect(await verdict([leaf, ca, bridge], [old])).toBe('accepted')
    const a = lab.make({ name: 'a' })
    const b = lab.make({ name: 'b', issuer: a, extensions: CA })
    const aByB = lab.make({ name: 'a', issuer: b, extensions: CA, reuseKeyOf: a })
    const bByA = lab.make({ name: 'b', issuer: aByB, extensions: CA, reuseKeyOf: b })
    expect(await verdict([leafOf(b), b, aByB, bByA, a])).toBe('unknown_issuer')
  })

  it('SPIFFE-4 a crowd of issuers of one name costs a bounded number of checks', async () => {
    const crowd = Array.from({ length: 9 }, () =>
      lab.make({
        name: 'crowd',
        extensions: [...CA, 'subjectKeyIdentifier=none', 'authorityKeyIdentifier=none'],
      }),
    )
    const [first = root] = crowd
    const leaf = leafOf(first, { extensions: [...LEAF, 'authorityKeyIdentifier=none'] })
    expect(await verdict([leaf, ...crowd])).toMatch(/too_complex|bad_signature/)
  })

  it('SPIFFE-4 refuses a path beyond 8, 11 certificates, 200, and 64 KiB', async () => {
    const middles: MadeCertificate[] = []
    let last = root
    for (let i = 0; i < 7; i += 1) {
      last = lab.make({ name: `m${i}`, issuer: last, extensions: CA })
      middles.unshift(last)
    }
    const sixth = middles.at(1) ?? root
    expect(await verdict([leafOf(sixth), ...middles.slice(1)])).toBe('accepted')
    expect(await verdict([leafOf(last), ...middles])).toBe('unknown_issuer')
    const leaf = leafOf(root)
    expect(await verdict(Array.from({ length: 11 }, () => leaf))).toBe('too_many')
    expect(await verdict(Array.from({ length: 200 }, () => leaf))).toBe('too_many')
    expect(readChain([new Uint8Array(70_000)])).toMatchObject({ failure: 'too_large' })
    expect(readChain([])).toMatchObject({ failure: 'no_certificate' })
  })

  it('SPIFFE-4 refuses a crowd of names before comparing them', async () => {
    const names = Array.from({ length: 101 }, (_, i) => `DNS:h${i}.example`).join(',')
    expect(
      await verdict([leafOf(root, { extensions: [...LEAF, `subjectAltName=${names}`] })]),
    ).toBe('malformed')
  })

  it('CVE-2024-2048 MTLS-3 one changed byte anywhere makes another certificate', async () => {
    const leaf = leafOf(root, { extensions: SVID })
    for (let at = 0; at < leaf.der.length; at += 7) {
      const der = Uint8Array.from(leaf.der)
      der[at] = (der[at] ?? 0) ^ 0x01
      expect(await verdict([{ ...leaf, der }])).not.toBe('accepted')
    }
  })

  it('says when the first certificate of the path ends', async () => {
    const short = intermediate(ca, [], { notAfter: '20270601000000Z' })
    const read = readChain([leafOf(short), short, ca].map(({ der }) => der))
    const result = read.ok
      ? await verifyChain({
          chain: read.value,
          roots: certificatesOf([root]),
          now: NOW,
          purpose: 'client',
        })
      : read
    expect(result).toMatchObject({
      ok: true,
      value: { length: 4, notAfter: Date.UTC(2027, 5, 1) / 1000 },
    })
  })
})

/** An odd number of so many bits and 65537, which nobody has the private half of. */
function rsaPublicKey(bits: number): string {
  const modulus = Buffer.alloc(bits / 8, 0xa5)
  const jwk = { kty: 'RSA', n: modulus.toString('base64url'), e: 'AQAB' }
  return createPublicKey({ key: jwk, format: 'jwk' })
    .export({ type: 'spki', format: 'pem' })
    .toString()
}

/** A certificate of the root for any public key. */
function withPublicKey(publicKey: string): MadeCertificate {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-key-'))
  const write = (name: string, text: string) => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  try {
    const request = openssl(['req', '-new', '-key', write('any.key', ca.keyPem), '-subj', '/CN=ca'])
    const pem = openssl(
      [
        'x509',
        '-req',
        '-force_pubkey',
        write('public.pem', publicKey),
        '-CA',
        write('root.pem', root.pem),
        '-CAkey',
        write('root.key', root.keyPem),
        '-extfile',
        write('ext', LEAF.join('\n')),
      ],
      request,
    )
    return { name: 'any', pem, der: derOf(pem), keyPem: '' }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
