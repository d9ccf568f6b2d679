// RFC 9449 §4.3, check by check: one proof that holds, and everything that must not.
import { createHmac } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import type { ProofPlace, UntrustedProof } from '../../functions/core/proof.ts'
import { createProofVerifier } from '../../functions/crypto/dpop.ts'
import { proofNonces } from '../../functions/crypto/proof-nonce.ts'
import { hashOf, type ProofKey, proofKey, type ProofOf } from '../fakes/proof-key.ts'
import { encoded } from '../fakes/token-issuer.ts'

const NOW = 1_800_000_000
const URL_ = 'https://broker.example/token-exchange'
const kek = new Uint8Array(32).fill(7)
const nonces = proofNonces({ kek, kekPrevious: null })
const verifier = createProofVerifier({ nonces, requiresNonce: false })
const strict = createProofVerifier({ nonces, requiresNonce: true })
const EXCHANGE: ProofPlace = { at: 'token_endpoint', token: 'subject-token' }
const RESOURCE: ProofPlace = { at: 'resource', token: 'the-handle' }

let key: ProofKey
beforeAll(async () => {
  key = await proofKey('ES256', NOW)
})

const request = (dpop: string, over: Partial<UntrustedProof> = {}) => ({
  certificate: null,
  method: 'POST',
  url: URL_,
  ...over,
  dpop,
})

async function verdict(of: Partial<ProofOf>, over: Partial<UntrustedProof> = {}) {
  const dpop = await key.proof({ url: URL_, ...of })
  const verified = await verifier.verify(request(dpop, over), EXCHANGE, NOW)
  return verified.ok ? 'ok' : verified.failure
}

describe('a proof that holds', () => {
  test.each(['ES256', 'ES384', 'EdDSA', 'Ed25519', 'RS256', 'PS256'])(
    'DP-01: %s names its key by the RFC 7638 thumbprint',
    async (alg) => {
      const own = await proofKey(alg, NOW)
      const dpop = await own.proof({ url: URL_ })
      const verified = await verifier.verify(request(dpop), EXCHANGE, NOW)
      expect(verified).toMatchObject({ ok: true, value: { jkt: own.jkt } })
    },
  )

  test('RFC 7638: the example of RFC 9449 has the thumbprint that its §6.1 prints', async () => {
    // The proof of §4.1, as printed.
    const dpop =
      'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg'
    const url = 'https://server.example.com/token'
    const verified = await verifier.verify(request(dpop, { url }), EXCHANGE, 1_562_262_616)
    expect(verified).toMatchObject({
      ok: true,
      value: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
    })
  })

  test('DP-04: is known by key, URI and jti, for as long as it could pass anywhere', async () => {
    const once = async (of: Partial<ProofOf>, by = key) => {
      const dpop = await by.proof({ url: URL_, ...of, claims: { jti: 'one', ...of.claims } })
      const url = of.url ?? URL_
      const verified = await verifier.verify(request(dpop, { url }), EXCHANGE, NOW)
      if (!verified.ok) throw new Error(verified.failure)
      return verified.value.singleUse
    }
    const first = await once({})
    // Every proof is signed anew: what is known of it is not its bytes.
    expect(await once({})).toEqual(first)
    expect(first.expiresAt).toBeGreaterThanOrEqual(NOW + 120)
    expect(
      (await once({ claims: { htu: 'HTTPS://BROKER.example:443/token-exchange?a' } })).key,
    ).toBe(first.key)
    expect((await once({ claims: { jti: 'two' } })).key).not.toBe(first.key)
    expect((await once({ url: 'https://broker.example/t/crm' })).key).not.toBe(first.key)
    expect((await once({}, await proofKey('ES256', NOW))).key).not.toBe(first.key)
    expect(first.key).not.toContain('one')
  })
})

describe('RFC 9449 §4.3', () => {
  test.each([
    ['nothing', ''],
    ['no JWS', 'abc'],
    ['an unsecured JWS', `${encoded({ alg: 'none', typ: 'dpop+jwt' })}.${encoded({})}.`],
    ['a JWE', 'a.b.c.d.e'],
    ['JSON', '{"payload":"x"}'],
    ['a payload that is no object', `${encoded({ typ: 'dpop+jwt' })}.${encoded('[]')}.AAAA`],
    ['16 KiB', 'a'.repeat(16_384)],
  ])('check 2: %s is not one well-formed JWT', async (_, dpop) => {
    expect(await verifier.verify(request(dpop), EXCHANGE, NOW)).toEqual({
      ok: false,
      failure: 'malformed',
    })
  })

  test.each(['jti', 'htm', 'htu', 'iat'])('check 3: %s is required', async (claim) => {
    expect(await verdict({ claims: { [claim]: undefined } })).toBe('missing_claim')
    expect(await verdict({ claims: { [claim]: ['x'] } })).toBe('missing_claim')
  })

  test.each([undefined, 'JWT', 'jwt', 'at+jwt', 'dpop', 'DPOP+JWT', 'application/dpop+jwt', 7])(
    'check 4, JB-06, JB-07: typ %j is refused',
    async (typ) => {
      expect(await verdict({ header: { typ } })).toBe('type')
    },
  )

  test.each([undefined, 'none', 'None', 'HS256', 'es256', 'ES256 ', 'RSA-OAEP', ['ES256'], ''])(
    'check 5, JB-01: alg %j is refused',
    async (alg) => {
      expect(await verdict({ header: { alg } })).toBe('algorithm')
    },
  )

  test('check 5: a MAC keyed with the public key proves nothing (RB-02)', async () => {
    const claims = { jti: 'x', htm: 'POST', htu: URL_, iat: NOW }
    const input = `${encoded({ typ: 'dpop+jwt', alg: 'HS256', jwk: key.jwk })}.${encoded(claims)}`
    const mac = createHmac('sha256', JSON.stringify(key.jwk)).update(input).digest('base64url')
    const verified = await verifier.verify(request(`${input}.${mac}`), EXCHANGE, NOW)
    expect(verified).toEqual({ ok: false, failure: 'algorithm' })
  })

  test('check 6: a signature by another key is refused', async () => {
    const other = await proofKey('ES256', NOW)
    expect(await verdict({ header: { jwk: other.jwk } })).toBe('bad_signature')
    const [header, , signature] = (await key.proof({ url: URL_ })).split('.')
    const forged = encoded({ jti: 'x', htm: 'POST', htu: URL_, iat: NOW })
    const swapped = request(`${header}.${forged}.${signature}`)
    expect(await verifier.verify(swapped, EXCHANGE, NOW)).toMatchObject({
      failure: 'bad_signature',
    })
  })

  test('check 7: a private, symmetric, missing, foreign or contradictory key is refused', async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true })
    const jwks: unknown[] = [
      await exportJWK(privateKey),
      { ...key.jwk, d: 'AAAA' },
      { kty: 'oct', k: 'AAAA' },
      { ...key.jwk, use: 'enc' },
      { ...key.jwk, alg: 'RS256' },
      { ...key.jwk, key_ops: ['sign', 'decrypt'] },
      { ...key.jwk, x: key.jwk['y'] },
      undefined,
      'https://attacker.example/jwks',
      [],
      null,
    ]
    for (const jwk of jwks) expect(await verdict({ header: { jwk } })).toBe('key')
  })

  test.each(['jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc'])(
    'JB-05, JB-10: the header member %s is refused',
    async (member) => {
      expect(await verdict({ header: { [member]: ['x'] } })).toBe('header')
    },
  )

  test.each(['GET', 'post', 'POST ', ''])('check 8: htm %j is not POST', async (htm) => {
    expect(await verdict({ claims: { htm } })).toBe('method')
  })

  test.each([
    'HTTPS://Broker.Example:443/token-exchange',
    'https://broker.example:/token-exchange',
    'https://broker.example/token-exchange?a=b#c',
    'https://broker.example/%74oken%2dexchange',
    'https://broker.example/./x/../token-exchange',
  ])('check 9, DP-03: htu %s is the same URI', async (htu) => {
    expect(await verdict({ claims: { htu } })).toBe('ok')
  })

  test.each([
    'http://broker.example/token-exchange',
    'https://broker.example:8443/token-exchange',
    'https://broker.example.evil/token-exchange',
    'https://broker.example/token-exchange/',
    'https://broker.example/TOKEN-EXCHANGE',
    'https://broker.example/token%2Fexchange',
    'https://broker.example\\token-exchange',
    'https://user@broker.example/token-exchange',
    'https://broker.example/token-exchange%',
    '/token-exchange',
    '//broker.example/token-exchange',
    'https:///token-exchange',
    ' https://broker.example/token-exchange',
    'https://broker.example/token-\texchange',
    '',
  ])('check 9, DP-03: htu %j is another URI', async (htu) => {
    expect(await verdict({ claims: { htu } })).toBe('url')
  })

  test('check 10, ER-08: a nonce that is asked for, stale or of somebody else', async () => {
    const check = async (nonce: string | undefined, now = NOW, by = strict) => {
      const dpop = await key.proof({ url: URL_, claims: { nonce } })
      const verified = await by.verify(request(dpop), EXCHANGE, now)
      return verified.ok ? 'ok' : verified.failure
    }
    const other = proofNonces({ kek: new Uint8Array(32).fill(8), kekPrevious: null })
    expect(await check(undefined)).toBe('nonce_required')
    expect(await check(nonces.at(NOW))).toBe('ok')
    expect(await check(nonces.at(NOW - 300))).toBe('ok')
    expect(await check(nonces.at(NOW - 900))).toBe('nonce_stale')
    expect(await check(other.at(NOW))).toBe('nonce_stale')
    // Not asked for, and wrong all the same.
    expect(await check('x', NOW, verifier)).toBe('nonce_stale')
    expect(await check(undefined, NOW, verifier)).toBe('ok')
  })

  test('check 10: nonces of the previous KEK hold while it is rotated', () => {
    const next = new Uint8Array(32).fill(9)
    const rotated = proofNonces({ kek: next, kekPrevious: kek })
    expect(rotated.isFresh(nonces.at(NOW), NOW)).toBe(true)
    expect(rotated.at(NOW)).not.toBe(nonces.at(NOW))
    expect(proofNonces({ kek: next, kekPrevious: null }).isFresh(nonces.at(NOW), NOW)).toBe(false)
  })

  test.each([
    [-120, 'ok'],
    [-121, 'too_old'],
    [60, 'ok'],
    [61, 'not_yet_valid'],
    [1e12, 'not_yet_valid'],
  ])('check 11, DP-04: made %i seconds from now: %s', async (offset, expected) => {
    expect(await verdict({ claims: { iat: NOW + offset } })).toBe(expected)
  })

  test.each([
    [{ exp: NOW - 61 }, 'too_old'],
    [{ exp: '9999999999' }, 'too_old'],
    [{ nbf: NOW + 61 }, 'not_yet_valid'],
    [{ exp: NOW + 60, nbf: NOW }, 'ok'],
  ])('check 11: %j is judged where it is given: %s', async (claims, expected) => {
    expect(await verdict({ claims })).toBe(expected)
  })

  test.each(['9999999999', null, true])('JB-11: iat %j is no time', async (iat) => {
    expect(await verdict({ claims: { iat } })).toBe('missing_claim')
  })

  test('check 12: ath is the hash of the handle beside it', async () => {
    const at = async (ath: unknown, place: ProofPlace) => {
      const dpop = await key.proof({ url: URL_, claims: { ath } })
      const verified = await verifier.verify(request(dpop), place, NOW)
      return verified.ok ? 'ok' : verified.failure
    }
    expect(await at(hashOf('the-handle'), RESOURCE)).toBe('ok')
    expect(await at(hashOf('another'), RESOURCE)).toBe('token_hash')
    expect(await at(undefined, RESOURCE)).toBe('token_hash')
    expect(await at('the-handle', RESOURCE)).toBe('token_hash')
    // A token endpoint asks for none; one that is there has to be of the subject_token.
    expect(await at(hashOf('subject-token'), EXCHANGE)).toBe('ok')
    expect(await at(hashOf('the-handle'), EXCHANGE)).toBe('token_hash')
  })

  test.each(['', 'x'.repeat(257)])('DP-04: a jti of that size is refused', async (jti) => {
    expect(await verdict({ claims: { jti } })).toBe('missing_claim')
  })

  test('DP-04: a jti of a megabyte is refused before it is read', async () => {
    expect(await verdict({ claims: { jti: 'x'.repeat(1_048_576) } })).toBe('malformed')
  })
})

describe('MT-01', () => {
  test('x5t#S256 is the base64url SHA-256 of the leaf', () => {
    const leaf = new TextEncoder().encode('der')
    const made = verifier.thumbprint({ chain: [leaf], provenByPlatform: true })
    expect(made).toBe(hashOf('der'))
    expect(made).toMatch(/^[\w-]{43}$/)
    expect(verifier.thumbprint({ chain: [], provenByPlatform: true })).toBeNull()
  })
})
