import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalPath, STRICT_PATH } from '../../functions/actions/http-path.ts'

const read = (path: string, changes: Partial<typeof STRICT_PATH> = {}) => {
  const canonical = canonicalPath(path, { ...STRICT_PATH, ...changes })
  return canonical.ok ? canonical.text : `refused: ${canonical.reason}`
}

describe('G-5 what servers read differently is refused', () => {
  test.each([
    ['/a/../b', 'path_dot_segment'],
    ['/a/./b', 'path_dot_segment'],
    ['/..', 'path_dot_segment'],
    ['/a/%2e%2e/b', 'path_dot_segment'],
    ['/a/%2E./b', 'path_dot_segment'],
    ['/a/.%2e', 'path_dot_segment'],
    ['/a/..%2fb', 'path_encoded_slash'],
    ['/a%2Fb', 'path_encoded_slash'],
    ['/a/..;/b', 'path_semicolon'],
    ['/a;v=1/b', 'path_semicolon'],
    ['/a/..%3B/b', 'path_dot_segment'],
    ['/a\\b', 'path_backslash'],
    ['/a/..\\b', 'path_backslash'],
    ['/a%5cb', 'path_backslash'],
    ['/a%5Cb', 'path_backslash'],
    ['/a//b', 'path_empty_segment'],
    ['//evil.example/a', 'path_empty_segment'],
    ['/%252e%252e/b', 'path_double_encoding'],
    ['/a%252fb', 'path_double_encoding'],
    ['/a%25%32%65', 'path_double_encoding'],
    ['/a%25%36%31', 'path_double_encoding'],
    ['/a%00', 'path_control_character'],
    ['/a%0d%0aX: y', 'path_not_ascii'],
    ['/a%0A', 'path_control_character'],
    ['/a%7f', 'path_control_character'],
    ['/a\u0000', 'path_control_character'],
    ['/a\tb', 'path_control_character'],
    ['/a\r\nb', 'path_control_character'],
    ['/a b', 'path_not_ascii'],
    ['/é', 'path_not_ascii'],
    ['/a%', 'path_invalid_escape'],
    ['/a%2', 'path_invalid_escape'],
    ['/a%zz', 'path_invalid_escape'],
    ['/%u002e%u002e', 'path_invalid_escape'],
    ['/%%32e', 'path_invalid_escape'],
    ['/%c0%ae%c0%ae/', 'path_invalid_utf8'],
    ['/a%ff', 'path_invalid_utf8'],
    ['/a/%EF%BC%8E%EF%BC%8E/b', 'path_dot_segment'],
    ['/a/%E2%80%A5/b', 'path_dot_segment'],
    ['/a%EF%BC%8Fb', 'path_encoded_slash'],
    ['/a%EF%BC%BCb', 'path_backslash'],
    ['/a#b', 'path_delimiter'],
    ['/a?b', 'path_delimiter'],
    ['a/b', 'path_not_absolute'],
    ['https://evil.example/', 'path_not_absolute'],
    ['@evil.example/', 'path_not_absolute'],
    [`/${'a'.repeat(5000)}`, 'path_too_long'],
  ])('%j', (path, reason) => {
    expect(read(path)).toBe(`refused: ${reason}`)
  })
})

describe('G-5 what all servers read alike has one spelling', () => {
  test.each([
    ['', '/'],
    ['/', '/'],
    ['/v1/customers/7', '/v1/customers/7'],
    ['/v1/customers/', '/v1/customers/'],
    ['/V1/Customers', '/V1/Customers'],
    ['/%76%31/a', '/v1/a'],
    ['/a%2db%5f%7e', '/a-b_~'],
    ['/a%c3%a9', '/a%C3%A9'],
    ['/a%20b', '/a%20b'],
    ['/a%3ab', '/a%3Ab'],
    ['/100%25', '/100%25'],
    ['/a...b/...', '/a...b/...'],
    ["/a:b@c!$&'()+,=", "/a:b@c!$&'()+,="],
    ['/a*', '/a%2A'],
    ['/%2a', '/%2A'],
    ['/a|b^{c}[d]"<>`', '/a%7Cb%5E%7Bc%7D%5Bd%5D%22%3C%3E%60'],
    ['/a%3b', '/a%3B'],
  ])('%j is %j', (path, canonical) => {
    expect(read(path)).toBe(canonical)
    expect(read(canonical)).toBe(canonical)
  })

  test('an object never holds a wildcard or a space', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        expect(read(`/${text}`).startsWith('refused') || /^[^* ]+$/.test(read(`/${text}`))).toBe(
          true,
        )
      }),
    )
  })

  test('the URL parser sends the canonical path as it is', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary-ascii', maxLength: 3 }),
      fc.constantFrom('%2e', '%2E', '.', '/', '%2f', '%25', '%5c', ';', '%', '%41', '\\', '%c3%a9'),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, isOpen) => {
        const options = {
          allowEncodedSlash: isOpen,
          allowSemicolon: isOpen,
          allowEmptySegments: isOpen,
        }
        const canonical = canonicalPath(`/${pieces.join('')}`, options)
        if (!canonical.ok) return
        expect(new URL(`https://a.example${canonical.text}`).pathname).toBe(canonical.text)
        expect(canonicalPath(canonical.text, options)).toEqual(canonical)
      }),
      { numRuns: 5_000 },
    )
  })
})

describe('what a target may opt into', () => {
  test('an encoded slash stays one segment, and hides no dot segment', () => {
    const open = { allowEncodedSlash: true }
    expect(read('/projects/group%2fproject', open)).toBe('/projects/group%2Fproject')
    expect(read('/a/..%2f..%2fb', open)).toBe('refused: path_dot_segment')
    expect(read('/a%2f%2e%2e', open)).toBe('refused: path_dot_segment')
    expect(read('/a%5cb', open)).toBe('refused: path_backslash')
    expect(read('/a%EF%BC%8Fb', open)).toBe('refused: path_encoded_slash')
    expect(read('/a%2Fx%EF%BC%8Fb', open)).toBe('refused: path_encoded_slash')
  })

  test('a semicolon is sent, but not behind dots', () => {
    const open = { allowSemicolon: true }
    expect(read('/a;v=1/b', open)).toBe('/a;v=1/b')
    expect(read('/a/..;/b', open)).toBe('refused: path_dot_segment')
    expect(read('/a/.;x/b', open)).toBe('refused: path_dot_segment')
  })

  test('empty segments, but not at the beginning', () => {
    const open = { allowEmptySegments: true }
    expect(read('/bucket//key', open)).toBe('/bucket//key')
    expect(read('//evil.example', open)).toBe('refused: path_empty_segment')
  })
})
