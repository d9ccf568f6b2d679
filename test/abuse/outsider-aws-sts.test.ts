// A target of type `aws-sts` when everything around it takes its time, and under names that are not quite the
// same: no credential works for longer than is said, and no two values become one in AWS.
import { describe, expect, test } from 'vitest'
import { ok } from '../../functions/core/result.ts'
import {
  facts,
  mintingOf,
  NOW,
  planned,
  stsTarget,
  type StsWorld,
  stsWorld,
} from '../targets/aws-sts-setup.ts'

const WEB = { assume_by: 'web_identity' }

/** When AWS stops to honour what STS was asked for at that moment. */
function honouredUntil({ asked, clock }: StsWorld): number {
  return clock.nowSeconds() + (asked.at(-1)?.input.durationSeconds ?? Infinity)
}

describe.each([
  ['role', {}],
  ['web identity', WEB],
])('by %s', (_way, config) => {
  test('SC-01: a credential works no longer than is said, however long the judge took', async () => {
    const world = stsWorld()
    const minting = mintingOf(world, stsTarget(config))
    const plan = await planned(minting)
    world.clock.advance(30)
    const minted = await minting.mint(plan)
    expect(minted).toMatchObject({ ok: true, value: { expiresAt: NOW + 3600 } })
    expect(honouredUntil(world)).toBe(NOW + 3600)
  })

  test('SC-01: near AWS’s minimum the session policy ends it', async () => {
    const world = stsWorld()
    const minting = mintingOf(world, stsTarget(config))
    const plan = await planned(minting, facts({ endsAt: NOW + 900 }))
    world.clock.advance(30)
    expect(await minting.mint(plan)).toMatchObject({ ok: true, value: { expiresAt: NOW + 900 } })
    expect(world.asked[0]?.input.policy).toContain('2026-11-22T10:15:00Z')
  })

  test('SC-01: what nothing would end in time is not asked for', async () => {
    const world = stsWorld()
    const minting = mintingOf(world, stsTarget(config))
    const plan = await planned(minting, facts({ endsAt: NOW + 1000 }))
    world.clock.advance(200)
    expect(await minting.mint(plan)).toMatchObject({
      ok: false,
      failure: { kind: 'unavailable', got: 'late' },
    })
    expect(world.asked).toEqual([])
  })

  test('nothing is handed over that has ended by then', async () => {
    const world = stsWorld()
    const minting = mintingOf(world, stsTarget(config))
    const plan = await planned(minting, facts({ endsAt: NOW + 2 }))
    world.answer = (role) => {
      world.clock.advance(3)
      return ok(role)
    }
    expect(await minting.mint(plan)).toMatchObject({
      ok: false,
      failure: { kind: 'unavailable', got: 'late' },
    })
  })
})

test.each([' admin', 'admin ', '\u00a0admin', ' '])(
  'SC-05: a tag that AWS would trim to another, "%s", makes no credential',
  async (team) => {
    const minting = mintingOf(stsWorld(), stsTarget({ tags: { Team: 'team' } }))
    expect(await minting.plan(facts({ claims: { team } }))).toMatchObject({
      failure: { kind: 'mint_refused', reason: 'tags' },
    })
  },
)
