import { describe, expect, test } from 'vitest'
import { type AssertionGrant, heldToGrants } from '../../functions/core/assertion-grant.ts'
import type { ScopeItem } from '../../functions/core/scope.ts'

const read = (object: string | null = null): ScopeItem => ({ effect: 'read', object })
const write: ScopeItem = { effect: 'write', object: null }

const held = (
  asked: { targets?: readonly string[]; scope?: readonly ScopeItem[] | null },
  grant?: Partial<AssertionGrant>,
) =>
  heldToGrants({ targets: [], scope: null, ...asked }, [
    {},
    grant === undefined
      ? {}
      : { grant: { presenter: 'a:b', targets: null, scope: null, ...grant } },
  ])

describe('a request that is held to an assertion', () => {
  test('without one it stays as it is, and names its targets itself', () => {
    const asked = { targets: ['crm'], scope: [write] }
    expect(held(asked)).toEqual({ ok: true, value: asked })
    expect(held({})).toMatchObject({ ok: false, failure: { kind: 'invalid_target' } })
  })

  test('targets: never more than the assertion says, and those where it names none', () => {
    const targets = ['crm', 'mail']
    expect(held({}, { targets })).toMatchObject({ ok: true, value: { targets } })
    expect(held({ targets: ['mail'] }, { targets })).toMatchObject({
      ok: true,
      value: { targets: ['mail'] },
    })
    for (const [asked, allowed] of [
      [['crm', 'billing'], targets],
      [['crm'], []],
    ]) {
      expect(held({ targets: asked ?? [] }, { targets: allowed ?? [] })).toMatchObject({
        ok: false,
        failure: { kind: 'invalid_target', reason: 'not_asserted' },
      })
    }
    for (const allowed of [null, []]) {
      expect(held({}, { targets: allowed })).toMatchObject({
        ok: false,
        failure: { kind: 'invalid_target', reason: 'malformed' },
      })
    }
  })

  test.each([
    [null, [read()], [read()]],
    [[write], [read()], 'nothing'],
    [[read(), write], [read('GET /a/*')], [read('GET /a/*')]],
    [[read('GET /a/1')], [read('GET /a/*'), write], [read('GET /a/1')]],
    [[read('GET /b')], [read('GET /a/*')], 'nothing'],
    [[write], null, [write]],
  ])('scope: %j within %j is %j', (asked, most, expected) => {
    const result = held({ targets: ['crm'], scope: asked }, { scope: most })
    if (expected === 'nothing') {
      expect(result).toEqual({
        ok: false,
        failure: { kind: 'invalid_scope', reason: 'nothing_left' },
      })
    } else expect(result).toMatchObject({ ok: true, value: { scope: expected } })
  })
})
