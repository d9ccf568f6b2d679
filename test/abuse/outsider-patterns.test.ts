// Patterns that a caller writes to be slow: a hundred in a scope, a hundred in an envelope, each held against
// each other. What a comparison, and all of them together, may take is bounded; beyond it nothing is granted.
import { describe, expect, test } from 'vitest'
import { compileSessionPolicy } from '../../functions/actions/aws-policy.ts'
import { loadAwsActions } from '../../functions/actions/aws-table.ts'
import { arnCovers, letsClaimsMeet } from '../../functions/core/arn-pattern.ts'
import { narrowGrants } from '../../functions/core/grants.ts'
import { parseAuthorizationDetails } from '../../functions/core/intent-parse.ts'
import { EFFECTS } from '../../functions/core/policy.ts'
import { objectWarnings } from '../../functions/policy/warnings.ts'

const PRE = 'arn:aws:s3:::'
const RUN = `${PRE}*${'a'.repeat(450)}b*`

describe('patterns that are slow to compare', () => {
  test('cover nothing that the form alone does not show within a few steps for each character', () => {
    expect(arnCovers(RUN, `${PRE}${'a'.repeat(450)}b`)).toBe(true)
    expect(arnCovers(`${PRE}*`, RUN)).toBe(true)
    // It does cover this one; four hundred attempts of four hundred steps would show it.
    expect(arnCovers(RUN, `${PRE}${'a'.repeat(900)}b`)).toBe(false)
  })

  test('short ones are compared to the end', () => {
    expect(arnCovers(`${PRE}*aaaaaaaaaab*`, `${PRE}${'a'.repeat(30)}b`)).toBe(true)
  })

  test('are refused by their length before a session policy is compiled from them', async () => {
    const objects = Array.from({ length: 9 }, (_, i) => `${PRE}*${'a'.repeat(950)}b${i}`)
    const grants = [{ effects: ['read'] as const, objects }]
    expect(compileSessionPolicy({ grants, endsAt: null }, await loadAwsActions())).toMatchObject({
      ok: false,
      failure: { reason: 'policy_too_large' },
    })
  })

  test('may have no more characters in an envelope than in a scope', () => {
    const details = (count: number) =>
      JSON.stringify([
        {
          type: 'agent_intent',
          purpose: 'be slow',
          envelope: { objects: Array.from({ length: count }, () => PRE.padEnd(1024, 'a')) },
        },
      ])
    expect(parseAuthorizationDetails(details(16)).ok).toBe(true)
    expect(parseAuthorizationDetails(details(17))).toMatchObject({
      ok: false,
      failure: { kind: 'invalid_authorization_details' },
    })
  })

  test('are compared once for all effects that nothing told apart', () => {
    const objects = [`${PRE}a/*`, `${PRE}b/*`]
    const [narrowed, ...others] = narrowGrants(
      [{ effects: EFFECTS, objects }],
      [
        { effect: 'read', object: null },
        { effect: 'write', object: `${PRE}b/in/*` },
        { effect: 'delete', object: null },
      ],
      { objects: [`${PRE}b/*`, `${PRE}a/1`] },
    )
    expect(narrowed).toEqual({ effects: ['read', 'delete'], objects: [`${PRE}a/1`, `${PRE}b/*`] })
    expect(others).toEqual([{ effects: ['write'], objects: [`${PRE}b/in/*`] }])
  })
})

describe('claims in a pattern', () => {
  test.each([
    ['home/${claims.sub}*', true],
    ['home/*${claims.sub}', true],
    ['${claims.team}-*', true],
    ['${claims.team}-${claims.sub}/*', true],
    ['${claims.team}${subject.sub}', true],
    ['home/${claims.sub}/*', false],
    ['${claims.team}/${claims./a/b}', false],
    ['home-${claims.sub}', false],
    ['home-${claims.sub}-${*}', false],
    ['home/*', false],
  ])('%s can be of two callers: %s', (resource, meets) => {
    const object = `arn:aws:s3:::${resource}`
    expect(letsClaimsMeet(object)).toBe(meets)
    const binding = {
      name: 'b',
      auth_method: 'ci',
      target: 's3',
      effect: 'allow',
      mode: 'enforce',
      enabled: true,
      delivery: 'credential',
      ttl_seconds: 900,
      grants: [{ effects: ['read'], objects: [object] }],
    } as const
    const found = objectWarnings('bindings', binding, { targets: [] }, 0)
    expect(found.some(({ code }) => code === 'open_claim')).toBe(meets)
  })
})
