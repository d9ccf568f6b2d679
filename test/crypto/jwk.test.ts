import { createHmac, createPublicKey } from 'node:crypto'
import * as jose from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import {
  ASYMMETRIC_ALGORITHMS,
  importVerificationKey,
  parseCompactJws,
  type VerificationKey,
} from '../../functions/crypto/jws.ts'

type Pair = { readonly privateKey: jose.CryptoKey; readonly jwk: JsonObject }

async function pairFor(alg: string, options: jose.GenerateKeyPairOptions = {}): Promise<Pair> {
  const pair = await jose.generateKeyPair(alg, { extractable: true, ...options })
  return { privateKey: pair.privateKey, jwk: await jose.exportJWK(pair.publicKey) }
}

async function verifies(
  key: VerificationKey | null,
  token: string,
  alg?: string,
): Promise<boolean> {
  const parsed = parseCompactJws(token)
  if (!parsed.ok || key === null) return false
  const { header, signingInput, signature } = parsed.value
  return key.verify(alg ?? (header.alg as string), signingInput, signature)
}

function sign(pair: Pair, alg: string): Promise<string> {
  return new jose.SignJWT({ sub: 'a' }).setProtectedHeader({ alg }).sign(pair.privateKey)
}

let rsa: Pair
let ec: Pair
let okp: Pair
beforeAll(async () => {
  rsa = await pairFor('RS256')
  ec = await pairFor('ES256')
  okp = await pairFor('Ed25519')
})

describe('importVerificationKey and verify', () => {
  it.each(ASYMMETRIC_ALGORITHMS.filter((alg) => alg !== 'EdDSA'))(
    'agrees with jose on %s: its signatures verify, and not with a byte changed',
    async (alg) => {
      const pair = await pairFor(alg)
      const key = await importVerificationKey(pair.jwk)
      const token = await sign(pair, alg)
      expect(await verifies(key, token)).toBe(true)
      const parts = token.split('.')
      const bytes = Buffer.from(parts[2] ?? '', 'base64url')
      bytes[5] = (bytes[5] ?? 0) ^ 1
      parts[2] = bytes.toString('base64url')
      expect(await verifies(key, parts.join('.'))).toBe(false)
      const other = await importVerificationKey((await pairFor(alg)).jwk)
      expect(await verifies(other, token)).toBe(false)
    },
  )

  it('JB-09: takes EdDSA for Ed25519, and never for Ed448', async () => {
    const token = await sign(okp, 'Ed25519')
    const key = await importVerificationKey(okp.jwk)
    expect(key?.algorithms).toEqual(['Ed25519', 'EdDSA'])
    expect(await verifies(key, token, 'EdDSA')).toBe(true)
    expect(await importVerificationKey({ ...okp.jwk, crv: 'Ed448' })).toBeNull()
    expect(await importVerificationKey({ ...okp.jwk, crv: 'X25519' })).toBeNull()
  })

  it('knows no symmetric algorithm', () => {
    expect(ASYMMETRIC_ALGORITHMS.filter((alg) => /^(HS|none|ES256K)/.test(alg))).toEqual([])
  })

  it.each([
    'none',
    'None',
    'NONE',
    'nOnE',
    '',
    'HS256',
    'hs256',
    'RS256 ',
    'rs256',
    'ES256K',
    'toString',
    '__proto__',
  ])('RB-02, JB-01: verifies nothing under alg %j', async (alg) => {
    for (const pair of [rsa, ec, okp]) {
      const key = await importVerificationKey(pair.jwk)
      expect(await key?.verify(alg, new Uint8Array(8), new Uint8Array(32))).toBe(false)
      expect(await importVerificationKey({ ...pair.jwk, alg })).toBeNull()
    }
  })

  it('RB-02: verifies no HMAC made with the public key in any of its forms', async () => {
    const key = await importVerificationKey(rsa.jwk)
    const publicKey = createPublicKey({ key: rsa.jwk, format: 'jwk' })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
    const der = publicKey.export({ type: 'spki', format: 'der' })
    const secrets = [pem, der, `${pem}\n`, `\n${pem}`, pem.trim(), JSON.stringify(rsa.jwk)]
    for (const secret of secrets) {
      for (const alg of ['HS256', 'RS256', 'PS256']) {
        const input = `${Buffer.from(JSON.stringify({ alg })).toString('base64url')}.e30`
        const mac = createHmac('sha256', secret).update(input).digest('base64url')
        expect(await verifies(key, `${input}.${mac}`)).toBe(false)
        expect(await verifies(key, `${input}.${mac}`, 'RS256')).toBe(false)
      }
    }
  })

  it('JB-01: a key that names its algorithm verifies under that one alone', async () => {
    const tagged = await importVerificationKey({ ...rsa.jwk, alg: 'RS256' })
    expect(tagged?.algorithms).toEqual(['RS256'])
    const asPs = await jose.importJWK(await jose.exportJWK(rsa.privateKey), 'PS256')
    const token = await new jose.SignJWT({}).setProtectedHeader({ alg: 'PS256' }).sign(asPs)
    expect(await verifies(tagged, token)).toBe(false)
    expect(await verifies(await importVerificationKey(rsa.jwk), token)).toBe(true)
    expect(await verifies(tagged, await sign(rsa, 'RS256'))).toBe(true)
  })

  it('a key without alg answers to what its kty and crv permit, and to nothing else', async () => {
    const rsaKey = await importVerificationKey(rsa.jwk)
    expect(rsaKey?.algorithms).toEqual(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'])
    expect((await importVerificationKey(ec.jwk))?.algorithms).toEqual(['ES256'])
  })

  it.each([
    ['kty is missing', { kty: undefined }],
    ['kty is unknown', { kty: 'AKP' }],
    ['kty is that of another key', { kty: 'RSA' }],
    ['crv is another curve', { crv: 'P-384' }],
    ['crv is secp256k1', { crv: 'secp256k1' }],
    ['crv is a name of Object.prototype', { crv: 'constructor' }],
    ['alg belongs to another curve', { alg: 'ES384' }],
    ['alg belongs to another kty', { alg: 'RS256' }],
    ['alg is symmetric', { alg: 'HS256' }],
    ['alg is not text', { alg: ['ES256'] }],
    ['use is encryption', { use: 'enc' }],
    ['use is for certificates', { use: 'x509-svid' }],
    ['use is unknown', { use: 'SIG' }],
    ['use is not text', { use: ['sig'] }],
    ['key_ops does not verify', { key_ops: ['encrypt'] }],
    ['key_ops is empty', { key_ops: [] }],
    ['key_ops mixes purposes', { key_ops: ['verify', 'encrypt'] }],
    ['key_ops is not a list', { key_ops: 'verify' }],
    ['kid is not text', { kid: 1 }],
    ['it is private', { d: 'AAAA' }],
    ['it holds a symmetric key', { k: 'AAAA' }],
    ['the point is not on the curve', { x: Buffer.alloc(32, 1).toString('base64url') }],
    [
      'the point is the origin',
      { x: Buffer.alloc(32).toString('base64url'), y: Buffer.alloc(32).toString('base64url') },
    ],
    ['a coordinate is short', { x: 'AAAA' }],
    ['a coordinate is padded', { x: `${Buffer.alloc(32, 1).toString('base64url')}=` }],
  ])('RB-02: refuses an EC key where %s', async (_what, change) => {
    const jwk: Record<string, unknown> = { ...ec.jwk, ...change }
    if (jwk.kty === undefined) delete jwk.kty
    expect(await importVerificationKey(jwk as JsonObject)).toBeNull()
  })

  it('takes keys for signatures whatever the specification calls that', async () => {
    for (const use of ['sig', 'jwt-svid', 'wit-svid']) {
      expect((await importVerificationKey({ ...ec.jwk, use }))?.use).toBe(use)
    }
    expect(await importVerificationKey({ ...ec.jwk, key_ops: ['verify'], kid: '' })).not.toBeNull()
  })

  it('RB-02: refuses symmetric keys', async () => {
    expect(await importVerificationKey({ kty: 'oct', k: 'AAAA', alg: 'HS256' })).toBeNull()
    expect(await importVerificationKey({ kty: 'oct', alg: 'RS256' })).toBeNull()
  })

  it('refuses RSA keys that are too short, too long, even, or with an odd exponent', async () => {
    const n = (bits: number, last = 1): string => {
      const bytes = Buffer.alloc(Math.ceil(bits / 8), 0xff)
      bytes[0] = bits % 8 === 0 ? 0xff : 2 ** (bits % 8) - 1
      bytes[bytes.length - 1] = 0xfe | last
      return bytes.toString('base64url')
    }
    const refused: JsonObject[] = [
      { kty: 'RSA', n: n(1024), e: 'AQAB' },
      { kty: 'RSA', n: n(2047), e: 'AQAB' },
      { kty: 'RSA', n: n(8200), e: 'AQAB' },
      { kty: 'RSA', n: n(2048, 0), e: 'AQAB' },
      { kty: 'RSA', n: '', e: 'AQAB' },
      { kty: 'RSA', e: 'AQAB' },
      ...['AQ', 'Aw', 'AQAA', 'AAAA', '', 'AQAAAAE', n(2048)].map((e) => ({ ...rsa.jwk, e })),
    ]
    for (const jwk of refused) expect(await importVerificationKey(jwk)).toBeNull()
    expect(await importVerificationKey({ kty: 'RSA', n: n(2048), e: 'AQAB' })).not.toBeNull()
    expect(await importVerificationKey({ kty: 'RSA', n: n(8192), e: 'AQAB' })).not.toBeNull()
  })

  it('reads a modulus with a zero in front as the number it is', async () => {
    const bytes = Buffer.concat([Buffer.alloc(1), Buffer.from(rsa.jwk.n as string, 'base64url')])
    const key = await importVerificationKey({ ...rsa.jwk, n: bytes.toString('base64url') })
    expect(await verifies(key, await sign(rsa, 'RS256'))).toBe(true)
  })

  it('refuses signatures of another length, DER among them, without an error', async () => {
    const key = await importVerificationKey(ec.jwk)
    for (const length of [0, 1, 63, 65, 70, 72, 128]) {
      expect(await key?.verify('ES256', new Uint8Array(4), new Uint8Array(length))).toBe(false)
    }
  })

  it('RB-02: does not read members that a prototype lends', async () => {
    const bare = Object.assign(Object.create({ d: 'x' }) as object, ec.jwk)
    expect(await importVerificationKey(bare)).not.toBeNull()
    const parsed = Object.assign(Object.create(null) as object, ec.jwk)
    expect(await importVerificationKey(parsed)).not.toBeNull()
  })
})
