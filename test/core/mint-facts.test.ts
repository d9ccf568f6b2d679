// From what a credential is planned: grants within every envelope of the chain, without what was lost.
import { describe, expect, test } from 'vitest'
import { evaluateAction } from '../../functions/core/evaluate.ts'
import type { Action, AgentIntent, Envelope } from '../../functions/core/intent.ts'
import { mintFacts, planOf } from '../../functions/core/mint-facts.ts'
import type { Minting } from '../../functions/core/minting.ts'
import type { Grant } from '../../functions/core/policy.ts'
import type { Session } from '../../functions/core/session.ts'
import { openSession } from '../fakes/session.ts'

const BUCKET = 'arn:aws:s3:::reports'
const GRANTS: readonly Grant[] = [
  { effects: ['read'], objects: [`${BUCKET}/*`] },
  { effects: ['write', 'delete'], objects: [`${BUCKET}/in/*`] },
]

const intent = (envelope?: Envelope): AgentIntent => ({
  type: 'agent_intent',
  purpose: 'count',
  ...(envelope === undefined ? {} : { envelope }),
})
const above = (...envelopes: readonly Envelope[]): Session['lineage'] => ({
  ancestors: envelopes.map((_, i) => `ses_${i}`),
  actors: envelopes.map((envelope) => ({
    identity: 'ci:a',
    authMethod: 'ci',
    claims: {},
    intent: intent(envelope),
    createdAt: 0,
  })),
  limits: {},
})

function grantsOf(facts: Partial<Session>, mode: 'enforce' | 'log_only' = 'enforce') {
  const session = { ...openSession(), intent: null, ...facts }
  return mintFacts(session, { grants: GRANTS, mode, endsAt: 10, scope: null }, 1).grants
}

describe('what is planned from', () => {
  test('is what is held, where nothing was declared and nothing lost', () => {
    expect(grantsOf({})).toEqual(GRANTS)
    expect(grantsOf({ intent: intent() })).toEqual(GRANTS)
    expect(grantsOf({ intent: intent({ tools: ['x'], limits: { rows: 1 } }) })).toEqual(GRANTS)
  })

  test('is within the envelope of the session, and of each one above it', () => {
    expect(grantsOf({ intent: intent({ effects: ['write'] }) })).toEqual([
      { effects: ['write'], objects: [`${BUCKET}/in/*`] },
    ])
    expect(
      grantsOf({
        lineage: above({ effects: ['read', 'write'] }, { objects: [`${BUCKET}/in/2026/*`] }),
        intent: intent({ effects: ['read', 'delete'] }),
      }),
    ).toEqual([{ effects: ['read'], objects: [`${BUCKET}/in/2026/*`] }])
    expect(grantsOf({ lineage: above({ effects: ['admin'] }), intent: intent() })).toEqual([])
  })

  test('is what is held in log_only, which still never gives back what was lost', () => {
    const narrow = intent({ effects: ['read'] })
    expect(grantsOf({ intent: narrow }, 'log_only')).toEqual(GRANTS)
    expect(grantsOf({ intent: narrow, removedEffects: ['write', 'read'] }, 'log_only')).toEqual([
      { effects: ['delete'], objects: [`${BUCKET}/in/*`] },
    ])
  })

  test('is without effects that one above it lost', () => {
    const standing = { state: 'narrowed', expiresAt: 10, removedEffects: ['delete'] } as const
    expect(grantsOf({ above: [standing], removedEffects: ['read'] })).toEqual([
      { effects: ['write'], objects: [`${BUCKET}/in/*`] },
    ])
  })

  test('being nothing, nobody plans', async () => {
    const minting: Minting = {
      tokenType: 'x',
      plan: () => Promise.reject(new Error('asked')),
      mint: () => Promise.reject(new Error('asked')),
    }
    const session = { ...openSession(), intent: intent({ effects: ['admin'] }) }
    const facts = mintFacts(session, { grants: GRANTS, mode: 'enforce', endsAt: 1, scope: null }, 0)
    expect(await planOf(minting, facts)).toMatchObject({
      ok: false,
      failure: { kind: 'mint_refused', reason: 'nothing_left' },
    })
  })
})

describe('the floor of a credential', () => {
  const action = (facts: Partial<Action>): Action => ({
    name: 'aws.assume',
    target: 's3',
    targetType: 'aws-sts',
    targetLabels: [],
    effects: ['read', 'write', 'delete'],
    objects: [`${BUCKET}/*`, `${BUCKET}/in/*`],
    destinations: [],
    properties: {},
    record: {},
    ...facts,
  })
  const judge = (facts: Partial<Action>) =>
    evaluateAction(
      {
        action: action(facts),
        grants: GRANTS,
        deniedBy: [],
        intent: null,
        policies: [],
        question: () => {
          throw new Error('nobody is asked')
        },
        mode: 'log_only',
      },
      { clock: { nowSeconds: () => 0, nowMs: () => 0 } },
    )

  test('is that each effect and each object is granted, though not each on each', async () => {
    expect(await judge({})).toMatchObject({ verdict: 'allow' })
    // Of any other action every effect is one on every object.
    expect(await judge({ name: 'aws.call' })).toMatchObject({ verdict: 'deny', tier: 'floor' })
  })

  test.each([
    ['an effect that nothing grants', { effects: ['read', 'admin'] as const }],
    ['an object that nothing grants', { objects: ['arn:aws:s3:::payroll/*'] }],
    ['an object wider than any grant', { objects: ['arn:aws:s3:::*'] }],
    ['everything', { objects: ['*'] }],
    ['no effect', { effects: [] }],
    ['no object', { objects: [] }],
  ])('denies %s, in log_only too', async (_, facts) => {
    expect(await judge(facts)).toMatchObject({
      verdict: 'deny',
      tier: 'floor',
      reasonCode: 'not_granted',
    })
  })
})
