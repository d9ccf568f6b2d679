import { describe, expect, test } from 'vitest'
import { EFFECTS } from '../../functions/core/policy.ts'
import { parseDownstreamScope } from '../../functions/http/downstream-scope.ts'

const anyEffect = (object: string) => EFFECTS.map((effect) => ({ effect, object }))

describe('the scope of a request for a token that is issued for others', () => {
  test('is one of this broker where it can be read as one', () => {
    expect(parseDownstreamScope('read:chat.read write')).toEqual({
      ok: true,
      value: [
        { effect: 'read', object: 'chat.read' },
        { effect: 'write', object: null },
      ],
    })
  })

  test('else words of the downstream, as they are', () => {
    expect(parseDownstreamScope('chat.read https://chat.example/admin read:x')).toEqual({
      ok: true,
      value: [
        ...anyEffect('chat.read'),
        ...anyEffect('https://chat.example/admin'),
        { effect: 'read', object: 'x' },
      ],
    })
  })

  test.each([
    ['two spaces', 'a  b'],
    ['a leading space', ' a'],
    ['a quotation mark', 'a"b'],
    ['a wildcard', 'chat.*'],
    ['control characters', 'a\tb'],
    ['what is not ASCII', 'ä'],
    ['a word that is too long', 'a'.repeat(257)],
    ['too many words', Array.from({ length: 101 }, (_, i) => `w${i}`).join(' ')],
  ])('is refused with %s', (_, scope) => {
    const failure = { kind: 'invalid_scope' }
    expect(parseDownstreamScope(scope)).toMatchObject({ ok: false, failure })
  })
})
