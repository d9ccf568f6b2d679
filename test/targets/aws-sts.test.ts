// The target type `aws-sts`: what it asks of STS, what it believes of the answer, and what it says of both.
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { AwsFaultKind } from '../../functions/aws/contract.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { Grant } from '../../functions/core/policy.ts'
import { StoreUnavailable } from '../../functions/core/records.ts'
import { fail, ok } from '../../functions/core/result.ts'
import { createAwsStsTarget } from '../../functions/targets/aws-sts.ts'
import {
  CANARIES,
  facts,
  minted,
  mintingOf,
  NOW,
  planned,
  stsTarget,
  stsWorld,
  type StsWorld,
} from './aws-sts-setup.ts'

const WEB = { assume_by: 'web_identity' } as const

function onlyAsked(world: StsWorld) {
  expect(world.asked).toHaveLength(1)
  const [asked] = world.asked
  if (asked === undefined) throw new Error('nothing was asked')
  return asked.input
}

describe('asking', () => {
  test('assumes the role of the target with its own external id and the names of the session (SC-06, SC-08)', async () => {
    const world = stsWorld()
    await minted(mintingOf(world))
    const input = onlyAsked(world)
    expect(input).toMatchObject({
      roleArn: 'arn:aws:iam::123456789012:role/agents/reader',
      externalId: 'external-id-of-reports',
      durationSeconds: 3600,
      policyArns: [],
      roleSessionName: 'ses_0123456789abcdefghijkl',
      transitiveTagKeys: [],
    })
    expect(input.endpoint.url.href).toBe('https://sts.eu-west-1.amazonaws.com/')
    expect(JSON.parse(input.policy ?? '')).toMatchObject({
      Statement: [{ Effect: 'Allow', Resource: expect.stringContaining('reports/2026/') }],
    })
    expect(world.signed).toEqual([])
  })

  test('by web identity sends what AWS reads from a token, and a subject that is the target', async () => {
    const world = stsWorld()
    await minted(
      mintingOf(
        world,
        stsTarget({
          ...WEB,
          tags: { Team: 'team' },
          transitive_tags: ['Team', 'sallyport_session'],
        }),
      ),
    )
    const input = onlyAsked(world)
    expect(input).not.toHaveProperty('externalId')
    expect('token' in input && input.token.revealFor('https://sts.eu-west-1.amazonaws.com')).toBe(
      CANARIES.webIdentity,
    )
    // It would be good for the whole role wherever else it went.
    expect('token' in input && input.token.revealFor('https://evil.example')).toBe(null)
    expect(world.signed).toHaveLength(1)
    const [{ claims, typ }] = world.signed as [StsWorld['signed'][number]]
    expect(typ).toBe('JWT')
    expect(claims).toMatchObject({
      sub: 'sallyport:reports',
      aud: 'sts.amazonaws.com',
      iat: NOW,
      exp: NOW + 300,
      jti: 'jti_1',
      'https://aws.amazon.com/tags': {
        principal_tags: { sallyport_session: ['ses_0123456789abcdefghijkl'], Team: ['analytics'] },
        transitive_tag_keys: ['Team', 'sallyport_session'],
      },
    })
    expect(claims['https://aws.amazon.com/source_identity']).toMatch(/^[\w=,.@-]{2,64}$/)
  })

  test('asks for no more than is granted and no longer than the session lasts', async () => {
    const world = stsWorld()
    const plan = await planned(mintingOf(world), facts({ endsAt: NOW + 1800 }))
    expect(plan.endsAt).toBe(NOW + 1800)
    expect(plan.action).toMatchObject({
      name: 'aws.assume',
      target: 'reports',
      targetType: 'aws-sts',
      targetLabels: ['internal'],
      effects: ['read'],
      objects: ['arn:aws:s3:::reports/2026/*'],
      destinations: ['sts.eu-west-1.amazonaws.com'],
    })
    expect(world.asked).toEqual([])
  })

  test('asks the same question in the same words, so that an approval of it fits (two sessions, two times)', async () => {
    const minting = mintingOf(stsWorld())
    const first = await planned(minting, facts({ endsAt: NOW + 60 }))
    const later = facts({ sessionId: 'ses_other', now: NOW + 100, endsAt: NOW + 190 })
    const second = await planned(minting, later)
    const { properties: _, ...asked } = first.action
    const { properties: __, ...again } = second.action
    expect(again).toEqual(asked)
  })

  test('under AWS’s minimum the session policy ends it, and the answer says when (SC-01)', async () => {
    const world = stsWorld()
    const answer = await minted(mintingOf(world), facts({ endsAt: NOW + 120 }))
    const input = onlyAsked(world)
    expect(input.durationSeconds).toBe(900)
    expect(input.policy).toContain('2026-11-22T10:02:00Z')
    expect(answer.expiresAt).toBe(NOW + 120)
    expect(answer.document).toMatchObject({ Expiration: '2026-11-22T10:02:00Z' })
    expect(answer.record).toMatchObject({ aws_honours_until: '2026-11-22T10:15:00Z' })
  })

  test('a chained role gets its hour, whatever the binding says (SC-02)', async () => {
    const world = stsWorld()
    const plan = await planned(mintingOf(world), facts({ endsAt: NOW + 7200 }))
    expect(plan.endsAt).toBe(NOW + 3600)
    const direct = await planned(mintingOf(world, stsTarget(WEB)), facts({ endsAt: NOW + 7200 }))
    expect(direct.endsAt).toBe(NOW + 7200)
  })

  test('makes nothing of a session that has ended', async () => {
    const plan = await mintingOf(stsWorld()).plan(facts({ endsAt: NOW }))
    expect(plan).toMatchObject({ failure: { kind: 'mint_refused', reason: 'no_time_left' } })
  })

  test('a policy of more than AWS takes is refused before STS is asked (SC-03)', async () => {
    const objects = Array.from({ length: 80 }, (_, i) => `arn:aws:s3:::bucket-${i}-with-a-name/*`)
    const plan = await mintingOf(stsWorld()).plan(
      facts({ grants: [{ effects: ['read'], objects }] }),
    )
    expect(plan).toMatchObject({ failure: { kind: 'mint_refused', reason: 'policy_too_large' } })
  })
})

describe('tags of the target (SC-05)', () => {
  test('carry the caller’s verified claims as they are', async () => {
    const world = stsWorld()
    await minted(mintingOf(world, stsTarget({ tags: { Team: 'team' } })))
    const input = onlyAsked(world)
    expect('tags' in input && input.tags).toContainEqual({ key: 'Team', value: 'analytics' })
  })

  test.each([
    ['missing', {}],
    ['no text', { team: ['analytics'] }],
    ['of characters that AWS has not', { team: 'a*b' }],
    ['too long', { team: 'x'.repeat(257) }],
    ['two lines', { team: 'a\nb' }],
  ])('a claim that is %s makes no credential', async (_what, claims) => {
    const minting = mintingOf(stsWorld(), stsTarget({ tags: { Team: 'team' } }))
    expect(await minting.plan(facts({ claims }))).toMatchObject({
      failure: { kind: 'mint_refused', reason: 'tags' },
    })
  })
})

describe('managed policies', () => {
  const arns = { policy_arns: ['arn:aws:iam::aws:policy/ReadOnlyAccess'] }
  const all: Grant = {
    effects: ['read', 'write', 'delete', 'send', 'execute', 'admin'],
    objects: ['*'],
  }

  test('are handed over where everything is granted', async () => {
    const world = stsWorld()
    await minted(mintingOf(world, stsTarget(arns)), facts({ grants: [all] }))
    expect(onlyAsked(world)).toMatchObject({ policy: null, policyArns: arns.policy_arns })
  })

  test('end by an inline policy that only denies', async () => {
    const world = stsWorld()
    await minted(mintingOf(world, stsTarget(arns)), facts({ grants: [all], endsAt: NOW + 60 }))
    expect(JSON.parse(onlyAsked(world).policy ?? '')).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Deny',
          Action: '*',
          Resource: '*',
          Condition: { DateGreaterThanEquals: { 'aws:CurrentTime': '2026-11-22T10:01:00Z' } },
        },
      ],
    })
  })

  test('are not handed over to whom less is granted than they allow', async () => {
    const minting = mintingOf(stsWorld(), stsTarget(arns))
    expect(await minting.plan(facts())).toMatchObject({
      failure: { kind: 'mint_refused', reason: 'not_expressible' },
    })
  })

  test('count for what the target says that they allow', async () => {
    const said = { ...arns, policy_effects: ['read'], policy_objects: ['arn:aws:s3:::reports/*'] }
    const minting = mintingOf(stsWorld(), stsTarget(said))
    const wide: Grant = { effects: ['read', 'write'], objects: ['arn:aws:s3:::reports/*'] }
    const plan = await planned(minting, facts({ grants: [wide] }))
    expect(plan.action).toMatchObject({ effects: ['read'], objects: ['arn:aws:s3:::reports/*'] })
    expect(await minting.plan(facts())).toMatchObject({ failure: { reason: 'not_expressible' } })
  })
})

describe('answering', () => {
  test('hands over the two forms that clients of AWS read, and the token by itself', async () => {
    const answer = await minted(mintingOf(stsWorld()))
    const Expiration = '2026-11-22T11:00:00Z'
    expect(answer.token).toBe(CANARIES.sessionToken)
    expect(answer.members).toEqual({
      aws_credentials: {
        Version: 1,
        AccessKeyId: 'ASIAISSUED0000000001',
        SecretAccessKey: CANARIES.secretAccessKey,
        SessionToken: CANARIES.sessionToken,
        Expiration,
      },
    })
    expect(answer.document).toEqual({
      AccessKeyId: 'ASIAISSUED0000000001',
      SecretAccessKey: CANARIES.secretAccessKey,
      Token: CANARIES.sessionToken,
      Expiration,
    })
  })

  test('records who AWS knows it by, and that AWS goes on to honour it; and no secret (SC-10)', async () => {
    const { record } = await minted(mintingOf(stsWorld()))
    expect(record).toMatchObject({
      access_key_id: 'ASIAISSUED0000000001',
      assumed_role_arn: 'arn:aws:sts::123456789012:assumed-role/reader/ses_0123456789abcdefghijkl',
      assumed_role_id: 'AROAEXAMPLE:ses_0123456789abcdefghijkl',
      role_session_name: 'ses_0123456789abcdefghijkl',
      sts_request_id: 'c6104cbe-af31-11e0-8154-cbc7ccf896c7',
      aws_honours_until: '2026-11-22T11:00:00Z',
      revocable_in_aws: false,
    })
    expect(JSON.stringify(record)).not.toContain('Canary')
  })

  test('no plan, failure or question prints a secret', async () => {
    const world = stsWorld()
    const minting = mintingOf(world, stsTarget(WEB))
    const plan = await planned(minting)
    world.answer = (role) => ok({ ...role, arn: `${role.arn}x` })
    const refused = await minting.mint(plan)
    expect(inspect({ plan, refused, asked: world.asked }, { depth: 12 })).not.toContain('Canary')
    expect(JSON.stringify({ plan, refused, asked: world.asked })).not.toContain('Canary')
  })

  test.each([
    ['another role', (arn: string) => arn.replace('/reader/', '/admin/')],
    ['another account', (arn: string) => arn.replace('123456789012', '210987654321')],
    ['another session', (arn: string) => `${arn}x`],
  ])('does not believe an answer about %s', async (_what, change) => {
    const world = stsWorld()
    world.answer = (role) => ok({ ...role, arn: change(role.arn) })
    const minting = mintingOf(world)
    expect(await minting.mint(await planned(minting))).toMatchObject({
      failure: { kind: 'unavailable', reason: 'sts_foreign', got: 'role' },
    })
  })

  test('does not believe an answer about another source identity', async () => {
    const world = stsWorld()
    world.answer = (role) => ok({ ...role, sourceIdentity: 'somebody-else' })
    const minting = mintingOf(world)
    expect(await minting.mint(await planned(minting))).toMatchObject({
      failure: { kind: 'unavailable', reason: 'sts_foreign', got: 'source_identity' },
    })
  })

  test.each([-600, 600, -3600, 43_200, Number.MAX_SAFE_INTEGER - NOW - 3600])(
    'hands over nothing when AWS’s clock and its own are %d seconds apart',
    async (offset) => {
      const world = stsWorld()
      world.answer = (role) => ok({ ...role, expiresAt: role.expiresAt + offset })
      const minting = mintingOf(world)
      expect(await minting.mint(await planned(minting))).toMatchObject({
        failure: { kind: 'unavailable', reason: 'sts_foreign', got: 'clock' },
      })
    },
  )

  test('says AWS’s end where that comes first', async () => {
    const world = stsWorld()
    world.answer = (role) => ok({ ...role, expiresAt: role.expiresAt - 120 })
    expect((await minted(mintingOf(world))).expiresAt).toBe(NOW + 3480)
  })

  const refusals: readonly (readonly [AwsFaultKind, JsonObject])[] = [
    ['packed_policy_too_large', { kind: 'mint_refused', reason: 'policy_too_large' }],
    ['malformed_policy', { kind: 'mint_refused', reason: 'policy_refused' }],
    ['duration', { kind: 'mint_refused', reason: 'duration' }],
    ['refused', { kind: 'unavailable', reason: 'sts_refused', got: 'AccessDenied' }],
    ['throttled', { kind: 'unavailable', reason: 'sts_throttled' }],
    ['unavailable', { kind: 'unavailable', reason: 'sts_unavailable' }],
    ['foreign', { kind: 'unavailable', reason: 'sts_foreign' }],
    ['expired_token', { kind: 'unavailable', reason: 'sts_expired_token' }],
    ['token_rejected', { kind: 'unavailable', reason: 'sts_token_rejected' }],
    ['region_disabled', { kind: 'unavailable', reason: 'sts_region_disabled' }],
    ['no_credentials', { kind: 'unavailable', reason: 'sts_no_credentials' }],
  ]

  test.each(refusals)('STS says %s: asked once, and told as what it is', async (kind, expected) => {
    const world = stsWorld()
    world.answer = () => fail({ kind, code: 'AccessDenied', status: 403 })
    const minting = mintingOf(world)
    expect(await minting.mint(await planned(minting))).toMatchObject({ failure: expected })
    onlyAsked(world)
  })

  test('asks nothing without the external id, or the keys that sign, and says so', async () => {
    const closed = stsWorld({ externalIds: { of: async () => null } })
    const minting = mintingOf(closed)
    expect(await minting.mint(await planned(minting))).toMatchObject({
      failure: { kind: 'unavailable', got: 'external_id' },
    })
    const down = async (): Promise<never> => {
      throw new StoreUnavailable()
    }
    const dark = stsWorld({ federation: { issuer: '', sign: down }, externalIds: { of: down } })
    for (const target of [stsTarget(), stsTarget(WEB)]) {
      const other = mintingOf(dark, target)
      expect(await other.mint(await planned(other))).toMatchObject({
        failure: { kind: 'unavailable', reason: 'sts_unavailable', got: 'store' },
      })
    }
    expect([...closed.asked, ...dark.asked]).toEqual([])
  })
})

test('its bindings deliver a credential', () => {
  const type = createAwsStsTarget(stsWorld().deps)
  expect(type).toMatchObject({ type: 'aws-sts', delivery: 'credential' })
})
