import { describe, expect, it } from 'vitest'
import {
  isTrustDomain,
  parseSpiffeId,
  spiffePathMatches,
  spiffePatternMistake,
} from '../../functions/core/spiffe-id.ts'

const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const DIGITS = '0123456789'
const IN_TRUST_DOMAIN = new Set(`${LOWER}${DIGITS}-._`)
const IN_PATH = new Set(`${LOWER}${LOWER.toUpperCase()}${DIGITS}-._`)
const CHARACTERS = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))

function read(text: string): string {
  const id = parseSpiffeId(text)
  return id.ok ? `${id.value.trustDomain}|${id.value.path}` : id.failure
}

describe('SPIFFE IDs, by the tables of go-spiffe', () => {
  it.each([
    ['spiffe://td', 'td|'],
    ['spiffe://td/path', 'td|/path'],
    ['spiffe://td/path/element', 'td|/path/element'],
    ['spiffe://td/.path', 'td|/.path'],
    ['spiffe://td/..path', 'td|/..path'],
    ['spiffe://td/...', 'td|/...'],
    ['spiffe://td/Path', 'td|/Path'],
    ['spiffe://t.d-1_x/p', 't.d-1_x|/p'],
    ['', 'scheme'],
    ['td', 'scheme'],
    ['/path', 'scheme'],
    ['Spiffe://td/path', 'scheme'],
    ['SPIFFE://td', 'scheme'],
    ['wimse://td/path', 'scheme'],
    ['spiffe:/td', 'scheme'],
    [' spiffe://td', 'scheme'],
    ['spiffe://', 'trust_domain'],
    ['spiffe:///path', 'trust_domain'],
    ['spiffe://TD/path', 'trust_domain'],
    ['spiffe://td:80/path', 'trust_domain'],
    ['spiffe://user@td/path', 'trust_domain'],
    ['spiffe://td%41/path', 'trust_domain'],
    ['spiffe://td?x', 'trust_domain'],
    ['spiffe://td#x', 'trust_domain'],
    ['spiffe://td/', 'path'],
    ['spiffe://td//', 'path'],
    ['spiffe://td//p', 'path'],
    ['spiffe://td/p/', 'path'],
    ['spiffe://td/p//q', 'path'],
    ['spiffe://td/.', 'path'],
    ['spiffe://td/./', 'path'],
    ['spiffe://td/p/.', 'path'],
    ['spiffe://td/..', 'path'],
    ['spiffe://td/pay/../admin', 'path'],
    ['spiffe://td/pay/%2e%2e/admin', 'path'],
    ['spiffe://td/%70ayment', 'path'],
    ['spiffe://td/p%62', 'path'],
    ['spiffe://td/p?x', 'path'],
    ['spiffe://td/p#x', 'path'],
    ['spiffe://td/p\\q', 'path'],
    ['spiffe://td/é', 'path'],
  ])('SP-01 SP-02 SPIFFE-1 %j is read as %s', (text, expected) => {
    expect(read(text)).toBe(expected)
  })

  it('SP-01 of all 256 characters, a trust domain takes a-z, 0-9, `-`, `.` and `_`', () => {
    for (const character of CHARACTERS) {
      expect([character, isTrustDomain(`t${character}d`)]).toEqual([
        character,
        IN_TRUST_DOMAIN.has(character),
      ])
      if (character === '/') continue
      const accepted = read(`spiffe://trustdomain${character}/path`) !== 'trust_domain'
      expect([character, accepted]).toEqual([character, IN_TRUST_DOMAIN.has(character)])
    }
  })

  it('SP-01 of all 256 characters, a segment takes a-z, A-Z, 0-9, `-`, `.` and `_`', () => {
    for (const character of CHARACTERS) {
      if (character === '/') continue
      const accepted = read(`spiffe://td/path${character}`) !== 'path'
      expect([character, accepted]).toEqual([character, IN_PATH.has(character)])
    }
  })

  it('SP-01 SPIFFE-1 takes 2048 bytes and a trust domain of 255, and no more', () => {
    const start = 'spiffe://td/'
    expect(read(start + 'a'.repeat(2048 - start.length))).not.toBe('too_long')
    expect(read(start + 'a'.repeat(2049 - start.length))).toBe('too_long')
    expect(isTrustDomain('a'.repeat(255))).toBe(true)
    expect(isTrustDomain('a'.repeat(256))).toBe(false)
    expect(isTrustDomain('')).toBe(false)
  })
})

describe('SPIFFE path patterns', () => {
  it.each([
    ['/agents', '/agents', true],
    ['/agents', '/agents-evil', false],
    ['/agents', '/agentsx', false],
    ['/agents', '/agents/x', false],
    ['/agents', '', false],
    ['/agents/*', '/agents/x', true],
    ['/agents/*', '/agents', false],
    ['/agents/*', '/agents/x/y', false],
    ['/agents/**', '/agents/x', true],
    ['/agents/**', '/agents/x/y/z', true],
    ['/agents/**', '/agents', false],
    ['/agents/**', '/agents-evil/x', false],
    ['/ns/*/sa/etl', '/ns/prod/sa/etl', true],
    ['/ns/*/sa/etl', '/ns/prod/x/sa/etl', false],
    ['/service/pay', '/service/payroll-attacker', false],
    ['/service/pay', '/Service/pay', false],
  ])('SP-03 SPIFFE-3 RB-11 %s against %s is %s', (pattern, path, expected) => {
    expect(spiffePathMatches(pattern, path)).toBe(expected)
  })

  it('POL-4 an open or malformed pattern has a mistake', () => {
    for (const pattern of ['/a', '/a/*', '/a/**', '/a/*/b', '/.a/...']) {
      expect(spiffePatternMistake(pattern)).toBeNull()
    }
    for (const pattern of ['/**', '/*', '/*/a']) {
      expect(spiffePatternMistake(pattern)?.code).toBe('unsafe')
    }
    for (const pattern of ['', '/', 'a', '/a/', '/a//b', '/a/..', '/a*', '/**/a', '/a/***']) {
      expect(spiffePatternMistake(pattern)?.code).toBe('format')
    }
  })
})
