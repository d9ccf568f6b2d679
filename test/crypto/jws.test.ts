import { describe, expect, it } from 'vitest'
import {
  parseCompactJws,
  refusedHeaderMember,
  splitCompactJws,
} from '../../functions/crypto/jws.ts'

const b64 = (text: string): string => Buffer.from(text).toString('base64url')
const token = (header: string, payload: string, signature = 'c2ln'): string =>
  `${b64(header)}.${b64(payload)}.${signature}`
const HEADER = '{"alg":"ES256","kid":"k"}'

describe('parseCompactJws', () => {
  it('returns header, payload, the signed bytes and the signature as they were sent', () => {
    const text = token(HEADER, '{"sub":"a"}')
    const parsed = parseCompactJws(text)
    if (!parsed.ok) throw new Error('refused')
    expect(parsed.value.header).toEqual({ alg: 'ES256', kid: 'k' })
    expect(parsed.value.payload).toEqual({ sub: 'a' })
    expect(Buffer.from(parsed.value.signingInput).toString()).toBe(text.slice(0, -5))
    expect(Buffer.from(parsed.value.signature).toString()).toBe('sig')
  })

  it.each([
    '[]',
    '[{"exp":9999999999}]',
    '"str"',
    'null',
    '1',
    'true',
    'foo',
    '{',
    '{"a":1,"a":2}',
  ])('refuses a payload that is not one JSON object without duplicates: %s', (payload) => {
    expect(parseCompactJws(token(HEADER, payload)).ok).toBe(false)
  })

  it.each([
    '[]',
    '"ES256"',
    'null',
    '',
    '{"alg":"ES256","alg":"none"}',
    '{"alg":1e400}',
    '\ufeff{}',
  ])('refuses a header that is not one JSON object without duplicates: %j', (header) => {
    expect(parseCompactJws(token(header, '{}')).ok).toBe(false)
  })

  const good = token(HEADER, '{}')
  const [h = '', p = '', s = ''] = good.split('.')
  it.each([
    ['a JWE of five parts (JB-03)', `${h}.${p}.${s}.${s}.${s}`],
    [
      'a flattened JSON serialisation (JB-02)',
      JSON.stringify({ protected: h, payload: p, signature: s }),
    ],
    [
      'a general JSON serialisation (JB-02)',
      JSON.stringify({ payload: p, signatures: [{ protected: h, signature: s }] }),
    ],
    [
      'both serialisations in one (JB-02)',
      `{"protected":"${h}","payload":"${p}","signature":"${s}","x":"${good}"}`,
    ],
    ['a quoted token (JB-02)', `"${good}"`],
    ['an unsecured JWS', `${b64('{"alg":"none"}')}.${p}.`],
    ['a detached payload', `${h}..${s}`],
    ['an empty header', `.${p}.${s}`],
    ['two parts', `${h}.${p}`],
    ['one part', h],
    ['nothing', ''],
    ['dots only', '..'],
    ['padding', `${h}.${p}.${s}=`],
    ['white space', `${h}.${p}.${s}\n`],
    ['leading white space', ` ${good}`],
    ['standard base64', `${h}.${p}.+/+/`],
    ['spare bits in the signature', `${h}.${p}.c2lnAB`],
    ['an impossible length', `${h}.${p}.c2lnA`],
    [
      'bytes that are not UTF-8',
      `${h}.${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${s}`,
    ],
  ])('refuses %s', (_what, text) => {
    expect(parseCompactJws(text)).toEqual({ ok: false, failure: { reason: 'malformed' } })
  })

  it('refuses a token over the size limit before it looks at it', () => {
    const long = token(HEADER, JSON.stringify({ a: 'x'.repeat(12_000) }))
    expect(long.length).toBeLessThan(16_384)
    expect(parseCompactJws(long).ok).toBe(true)
    expect(parseCompactJws(long, { maxBytes: 1_000 }).ok).toBe(false)
    expect(parseCompactJws(`${long}${'A'.repeat(16_384)}`).ok).toBe(false)
  })

  it('takes payloads that are not JSON only where bytes are asked for', () => {
    const text = token(HEADER, 'foo')
    expect(parseCompactJws(text).ok).toBe(false)
    const parts = splitCompactJws(text)
    expect(parts.ok && Buffer.from(parts.value.payload).toString()).toBe('foo')
  })
})

describe('refusedHeaderMember', () => {
  it.each([
    ['crit', { crit: ['x'] }],
    ['crit', { crit: ['exp'] }],
    ['crit', { crit: [] }],
    ['crit', { crit: 'x' }],
    ['b64', { b64: false }],
    ['jku', { jku: 'https://evil.test/jwks' }],
    ['x5u', { x5u: 'https://evil.test/x5u' }],
    ['jwk', { jwk: {} }],
    ['x5c', { x5c: [] }],
    ['zip', { zip: 'DEF' }],
  ])('JB-05, JB-10, RB-04: names %s, whatever its value', (member, extra) => {
    expect(refusedHeaderMember({ alg: 'ES256', ...extra })).toBe(member)
  })

  it('has nothing against the members that only describe', () => {
    expect(refusedHeaderMember({ alg: 'ES256', kid: 'k', typ: 'JWT', x5t: 'AA' })).toBeNull()
  })
})
