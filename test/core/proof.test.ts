// What a token is bound to, and what of it a request proved.
import { describe, expect, test } from 'vitest'
import { uniteBindings } from '../../functions/core/grants.ts'
import {
  bindHandle,
  isBoundAs,
  NOTHING_PROVEN,
  type Proven,
  proveRequest,
  readConfirmation,
  verifyProofFor,
  verifyProofOfClaims,
} from '../../functions/core/proof.ts'
import { readHandleClaims } from '../../functions/core/token.ts'
import { bindingOf } from '../store/values.ts'

const [JKT, X5T] = ['key-1', 'cert-1']
const both: Proven = { jkt: JKT, 'x5t#S256': X5T, singleUse: [] }

describe('a bound token', () => {
  test.each([
    [null, NOTHING_PROVEN, 'ok'],
    [null, both, 'ok'],
    [{ jkt: JKT }, both, 'ok'],
    [{ jkt: JKT }, NOTHING_PROVEN, 'proof_required'],
    [{ jkt: JKT }, { ...both, jkt: 'key-2' }, 'wrong_key'],
    [{ 'x5t#S256': X5T }, both, 'ok'],
    [{ 'x5t#S256': X5T }, { ...both, 'x5t#S256': null }, 'wrong_certificate'],
    [{ 'x5t#S256': X5T }, { ...both, 'x5t#S256': 'cert-2' }, 'wrong_certificate'],
    [{ jkt: JKT, 'x5t#S256': X5T }, both, 'ok'],
    [{ jkt: JKT, 'x5t#S256': X5T }, { ...both, 'x5t#S256': null }, 'wrong_certificate'],
    [{ jkt: JKT, 'x5t#S256': X5T }, { ...both, jkt: null }, 'proof_required'],
  ] as const)('DP-05, MT-02: %j shown with %j: %s', (confirmation, proven, expected) => {
    const fits = verifyProofFor(confirmation, proven)
    expect(fits.ok ? 'ok' : fits.failure).toBe(expected)
  })

  test.each([
    { kid: 'x' },
    {},
    [],
    'x',
    null,
    { jkt: 7 },
    { jkt: JKT, jwk: {} },
    { 'x5t#S256': 1 },
  ])('cnf %j is nothing that can be proven, and never taken for unbound', (cnf) => {
    expect(readConfirmation({ cnf })).toBe('unknown')
    expect(verifyProofOfClaims({ cnf }, both)).toEqual({ ok: false, failure: 'unknown' })
    const text = { iss: 'i', sub: 's', client_id: 'c', sid: 's', jti: 'j', scope: '' }
    const claims = { ...text, aud: ['a'], iat: 1, exp: 2 }
    expect(readHandleClaims(claims)).not.toBeNull()
    expect(readHandleClaims({ ...claims, cnf })).toBeNull()
  })

  test("an attestation's own cnf asks for its proof", () => {
    expect(verifyProofOfClaims({}, NOTHING_PROVEN).ok).toBe(true)
    expect(verifyProofOfClaims({ cnf: { jkt: JKT } }, both).ok).toBe(true)
    expect(verifyProofOfClaims({ cnf: { jkt: JKT } }, NOTHING_PROVEN).ok).toBe(false)
  })
})

describe('a new handle', () => {
  test.each([
    [[], NOTHING_PROVEN, null],
    [[], both, { jkt: JKT }],
    [['dpop'], both, { jkt: JKT }],
    [['mtls'], { ...both, jkt: null }, { 'x5t#S256': X5T }],
    [['mtls'], both, { jkt: JKT, 'x5t#S256': X5T }],
    [['dpop', 'mtls'], both, { jkt: JKT, 'x5t#S256': X5T }],
  ] as const)('asked for %j with %j is bound to %j', (asked, proven, confirmation) => {
    expect(bindHandle(asked, proven)).toEqual({ ok: true, value: confirmation })
    expect(isBoundAs(asked, confirmation)).toBe(true)
  })

  test.each([
    [['dpop'], { ...both, jkt: null }, 'invalid_proof'],
    [['mtls'], { ...both, 'x5t#S256': null }, 'malformed_request'],
    [['dpop', 'mtls'], { ...both, 'x5t#S256': null }, 'malformed_request'],
    [['dpop', 'mtls'], NOTHING_PROVEN, 'invalid_proof'],
  ] as const)('asked for %j with %j is not made', (asked, proven, kind) => {
    expect(bindHandle(asked, proven)).toMatchObject({ ok: false, failure: { kind } })
  })

  test('several bindings ask for all that any of them asks for', () => {
    const proofs = (...asked: readonly ('none' | 'dpop' | 'mtls')[]) =>
      uniteBindings(asked.map((require_proof) => bindingOf({ require_proof }))).proofs
    expect(proofs('none')).toEqual([])
    expect(proofs('none', 'dpop')).toEqual(['dpop'])
    expect(proofs('mtls', 'none', 'dpop')).toEqual(['dpop', 'mtls'])
    expect(uniteBindings([bindingOf()]).proofs).toEqual([])
  })

  test.each([
    [['dpop'], null],
    [['dpop'], { 'x5t#S256': X5T }],
    [['dpop', 'mtls'], { jkt: JKT }],
  ] as const)('bound to %2$j does not satisfy %1$j asked for later', (asked, confirmation) => {
    expect(isBoundAs(asked, confirmation)).toBe(false)
  })
})

test('MT-02: a certificate whose key nobody saw proven binds and proves nothing', async () => {
  const proofs = {
    verify: () => Promise.reject(new Error('there is no proof')),
    thumbprint: () => X5T,
  }
  const deps = { proofs, clock: { nowSeconds: () => 0, nowMs: () => 0 } }
  const shown = async (provenByPlatform: boolean) => {
    const certificate = { chain: [new Uint8Array(1)], provenByPlatform }
    const place = { at: 'token_endpoint', token: 't' } as const
    const request = { dpop: null, certificate, method: 'POST', url: 'https://b.example/' }
    const proven = await proveRequest(request, place, deps)
    return proven.ok ? proven.value['x5t#S256'] : proven.failure
  }
  expect(await shown(false)).toBeNull()
  expect(await shown(true)).toBe(X5T)
})
