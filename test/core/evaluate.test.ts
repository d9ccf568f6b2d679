import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { evaluateAction } from '../../functions/core/evaluate.ts'
import type { EvaluationInput } from '../../functions/core/evaluate.ts'
import type { CompiledEvaluator } from '../../functions/core/evaluator.ts'
import type { Action, AgentIntent, Envelope } from '../../functions/core/intent.ts'
import type { IntentRule } from '../../functions/core/policy.ts'
import { questionOf } from '../../functions/core/question.ts'
import type { CompiledIntentPolicy } from '../../functions/core/snapshot.ts'
import { fakeEvaluator } from '../fakes/evaluator.ts'

const clock = { nowSeconds: () => 1_000, nowMs: () => 1_000_000 }
const action: Action = {
  name: 'http.request',
  target: 'crm',
  targetType: 'http',
  targetLabels: ['customer-facing'],
  effects: ['read'],
  objects: ['GET /v1/customers/7'],
  destinations: ['crm.example'],
  properties: { method: 'GET', url: 'https://crm.example/v1/customers/7' },
  record: {},
}
const granted = [{ effects: ['read'] as const, objects: ['GET /v1/**'] }]
const rule: IntentRule = { id: 'no-destructive', text: 'Nothing destructive.', effect: 'deny' }

function intentWith(envelope?: Envelope): AgentIntent {
  const intent = { type: 'agent_intent', purpose: 'look up one customer' } as const
  return envelope === undefined ? intent : { ...intent, envelope }
}

function policyOf(parts: {
  rules?: readonly IntentRule[]
  judge?: CompiledEvaluator
  floor?: CompiledEvaluator
}): CompiledIntentPolicy {
  return {
    policy: { name: 'default', enabled: true, rules: parts.rules ?? [] },
    judge: parts.judge ?? null,
    floor: parts.floor ?? null,
  }
}

function evaluate(changes: Partial<EvaluationInput>) {
  const input: EvaluationInput = {
    action,
    grants: granted,
    deniedBy: [],
    intent: intentWith(),
    policies: [],
    mode: 'enforce',
    question: () =>
      questionOf(changes.action ?? action, {
        identity: 'prod-k8s:bot',
        authMethod: 'prod-k8s',
        claims: { sub: 'bot' },
        intent: changes.intent ?? null,
        history: [],
        now: 1_795_305_600,
      }),
    ...changes,
  }
  return evaluateAction(input, { clock })
}

describe('floor', () => {
  test('what is granted is allowed, what is not is denied with what is', async () => {
    expect(await evaluate({})).toMatchObject({ verdict: 'allow', tier: 'floor' })
    expect(await evaluate({ action: { ...action, effects: ['delete'] } })).toMatchObject({
      verdict: 'deny',
      tier: 'floor',
      reasonCode: 'not_granted',
      hint: 'granted: read:GET%20/v1/**',
    })
  })

  test('POL-8 a deny binding wins over every grant and every judge', async () => {
    const judge = fakeEvaluator('judge', { verdict: 'allow' })
    const verdict = await evaluate({ deniedBy: ['no-crm'], policies: [policyOf({ judge })] })
    expect(verdict).toMatchObject({ verdict: 'deny', reasonCode: 'denied_by_binding' })
    expect(judge.asked).toEqual([])
  })

  test('an action that was not understood is granted by nothing', async () => {
    const everything = [{ effects: ['read'] as const, objects: ['*'] }]
    expect(await evaluate({ grants: everything, undetermined: ['effects'] })).toMatchObject({
      verdict: 'deny',
      reasonCode: 'not_understood',
    })
    expect(
      await evaluate({ grants: everything, action: { ...action, effects: [] } }),
    ).toMatchObject({ verdict: 'deny', reasonCode: 'not_granted' })
  })

  test('session.open needs something granted, and is not held to the objects of the envelope', async () => {
    const open: Action = { ...action, name: 'session.open', effects: [], objects: [] }
    const intent = intentWith({ objects: ['public.orders'], destinations: [] })
    expect(await evaluate({ action: open, intent })).toMatchObject({
      verdict: 'allow',
      tier: 'floor',
    })
    expect(await evaluate({ action: open, intent, grants: [] })).toMatchObject({
      verdict: 'deny',
      reasonCode: 'not_granted',
    })
  })
})

describe('envelope', () => {
  test.each<[keyof Envelope, Envelope, string]>([
    ['effects', { effects: ['send'] }, 'effect_outside_envelope'],
    ['objects', { objects: ['GET /v1/orders/*'] }, 'object_outside_envelope'],
    ['destinations', { destinations: ['#finance'] }, 'destination_outside_envelope'],
    ['effects', { effects: [] }, 'effect_outside_envelope'],
  ])('an action outside the declared %s is denied', async (_, envelope, reasonCode) => {
    expect(await evaluate({ intent: intentWith(envelope) })).toMatchObject({
      verdict: 'deny',
      tier: 'envelope',
      reasonCode,
    })
  })

  test('a tool outside the declared tools is denied; an action without a tool is not held to them', async () => {
    const intent = intentWith({ tools: ['slack.post'] })
    const posted = { ...action, tool: 'email.send' }
    expect(await evaluate({ intent, action: posted })).toMatchObject({
      reasonCode: 'tool_outside_envelope',
    })
    expect(await evaluate({ intent })).toMatchObject({ verdict: 'allow', tier: 'envelope' })
  })

  test('inside the envelope, and with an absent member, the action is allowed', async () => {
    const intent = intentWith({ effects: ['read'], objects: ['GET /v1/customers/*'] })
    expect(await evaluate({ intent })).toMatchObject({
      verdict: 'allow',
      tier: 'envelope',
      reasonCode: 'within_envelope',
    })
  })

  test('an envelope never adds to the grants', async () => {
    const intent = intentWith({ effects: ['delete'], objects: ['**'] })
    const wipe: Action = { ...action, effects: ['delete'] }
    expect(await evaluate({ intent, action: wipe })).toMatchObject({ tier: 'floor' })
  })
})

describe('rules and judge', () => {
  test('a rule without a judge leaves the action open', async () => {
    expect(await evaluate({ policies: [policyOf({ rules: [rule] })] })).toMatchObject({
      verdict: 'review',
      tier: 'judge',
      reasonCode: 'judge_not_configured',
      ruleId: 'no-destructive',
    })
  })

  test('the judge sees the rules of its own policy, the declared text as data, and nothing secret', async () => {
    const judge = fakeEvaluator('judge', { verdict: 'allow' })
    const verdict = await evaluate({
      intent: intentWith(),
      policies: [policyOf({ rules: [rule], judge }), policyOf({})],
    })
    expect(verdict).toMatchObject({ verdict: 'allow', tier: 'judge', evaluator: 'judge' })
    expect(judge.asked).toEqual([
      {
        subject: {
          type: 'agent',
          id: 'prod-k8s:bot',
          properties: { auth_method: 'prod-k8s', claims: { sub: 'bot' }, agent: {} },
        },
        action: { name: 'http.request', properties: action.properties },
        resource: { type: 'http', id: 'crm', properties: { labels: ['customer-facing'] } },
        context: {
          intent: { purpose: 'look up one customer', origin: {}, envelope: {} },
          history: [],
          time: '2026-11-22T00:00:00.000Z',
          rules: [rule],
        },
      },
    ])
  })

  test('INT-3 a judge that allows overturns no denial, and is not even asked', async () => {
    const judge = fakeEvaluator('judge', { verdict: 'allow' })
    const policies = [policyOf({ judge })]
    const outside = intentWith({ effects: ['send'] })
    const unasked = fakeEvaluator('unasked', {})
    const both = [policyOf({ judge, floor: unasked })]
    expect(await evaluate({ policies: both, intent: outside })).toMatchObject({ tier: 'envelope' })
    expect(unasked.asked).toEqual([])
    expect(await evaluate({ policies, grants: [] })).toMatchObject({ tier: 'floor' })
    const floor = fakeEvaluator('pdp', { verdict: 'deny' })
    expect(await evaluate({ policies: [policyOf({ judge, floor })] })).toMatchObject({
      verdict: 'deny',
      tier: 'floor',
      evaluator: 'pdp',
    })
    expect(judge.asked).toEqual([])
  })

  test('every policy applies: deny before review before allow', async () => {
    const allow = policyOf({ judge: fakeEvaluator('a', {}) })
    const review = policyOf({ judge: fakeEvaluator('r', { verdict: 'review' }) })
    const deny = policyOf({ judge: fakeEvaluator('d', { verdict: 'deny', ruleId: 'x' }) })
    expect(await evaluate({ policies: [allow, review] })).toMatchObject({ evaluator: 'r' })
    expect(await evaluate({ policies: [allow, review, deny] })).toMatchObject({
      verdict: 'deny',
      evaluator: 'd',
      ruleId: 'x',
    })
    const openRule = policyOf({ rules: [rule] })
    expect(await evaluate({ policies: [allow, openRule] })).toMatchObject({ verdict: 'review' })
    const askingFloor = policyOf({ floor: fakeEvaluator('f', { verdict: 'review' }) })
    expect(await evaluate({ policies: [askingFloor, allow] })).toMatchObject({
      verdict: 'review',
      tier: 'floor',
    })
  })

  test('RB-16 an evaluator that breaks, or answers an unknown word, denies', async () => {
    const broken = policyOf({ judge: fakeEvaluator('j', new Error('bug')) })
    expect(await evaluate({ policies: [broken] })).toMatchObject({
      verdict: 'deny',
      reasonCode: 'judge_error',
    })
    // A verdict that the type forbids, as a faulty plugin might return it.
    const odd = policyOf({ judge: fakeEvaluator('j', { verdict: 'ALLOW' as 'allow' }) })
    expect(await evaluate({ policies: [odd] })).toMatchObject({ verdict: 'deny' })
  })

  test('a policy without rules, judge and floor leaves the deciding to floor and envelope', async () => {
    expect(await evaluate({ policies: [policyOf({})] })).toMatchObject({
      verdict: 'allow',
      reasonCode: 'granted',
    })
    expect(await evaluate({ intent: null })).toMatchObject({
      verdict: 'allow',
      tier: 'baseline',
      reasonCode: 'nothing_declared',
    })
  })
})

describe('log_only', () => {
  const logged = { mode: 'log_only' } as const

  test('lets through what envelope, rules and judge stop, and records it', async () => {
    const cases: Partial<EvaluationInput>[] = [
      { intent: intentWith({ effects: ['send'] }) },
      { policies: [policyOf({ rules: [rule] })] },
      { policies: [policyOf({ judge: fakeEvaluator('j', { verdict: 'deny' }) })] },
    ]
    for (const one of cases) {
      const enforced = await evaluate(one)
      expect(enforced.verdict).not.toBe('allow')
      const verdict = await evaluate({ ...one, ...logged })
      expect(verdict).toMatchObject({ verdict: 'allow', reasonCode: 'log_only' })
      expect(verdict.wouldHave).toEqual(enforced)
    }
  })

  test('never covers the floor, whichever way it is spoken', async () => {
    const floor = fakeEvaluator('pdp', { verdict: 'deny' })
    const outside = intentWith({ effects: ['send'] })
    expect(await evaluate({ ...logged, grants: [] })).toMatchObject({ verdict: 'deny' })
    expect(await evaluate({ ...logged, deniedBy: ['x'] })).toMatchObject({ verdict: 'deny' })
    expect(
      await evaluate({ ...logged, intent: outside, policies: [policyOf({ floor })] }),
    ).toMatchObject({ verdict: 'deny', tier: 'floor', evaluator: 'pdp' })
    const asking = fakeEvaluator('pdp', { verdict: 'review' })
    expect(
      await evaluate({ ...logged, intent: outside, policies: [policyOf({ floor: asking })] }),
    ).toMatchObject({ verdict: 'review', tier: 'floor', wouldHave: { tier: 'envelope' } })
  })
})

describe('where no grants are known', () => {
  test('an action that the envelope does not list whole is left open', async () => {
    const open = { verdict: 'review', reasonCode: 'judge_not_configured' }
    expect(await evaluate({ grants: null })).toMatchObject(open)
    expect(await evaluate({ grants: null, intent: null })).toMatchObject(open)
    const partly = intentWith({ effects: ['read'], objects: ['GET /v1/**'] })
    expect(await evaluate({ grants: null, intent: partly })).toMatchObject(open)
    const whole = intentWith({
      effects: ['read'],
      objects: ['GET /v1/**'],
      destinations: ['crm.example'],
    })
    expect(await evaluate({ grants: null, intent: whole })).toMatchObject({
      verdict: 'allow',
      tier: 'envelope',
    })
    expect(
      await evaluate({ grants: null, intent: whole, undetermined: ['destinations'] }),
    ).toMatchObject(open)
  })

  test('an undetermined part that the envelope restricts is left open, also with grants', async () => {
    const intent = intentWith({ destinations: ['crm.example'] })
    expect(await evaluate({ intent, undetermined: ['destinations'] })).toMatchObject({
      verdict: 'review',
      reasonCode: 'judge_not_configured',
    })
  })
})

test('INT-3 whatever evaluators say, nothing is allowed that the floor denies', async () => {
  const word = fc.constantFrom('allow', 'deny', 'review')
  await fc.assert(
    fc.asyncProperty(word, word, fc.constantFrom('enforce', 'log_only'), async (f, j, mode) => {
      const policies = [
        policyOf({
          floor: fakeEvaluator('f', { verdict: f as 'allow' }),
          judge: fakeEvaluator('j', { verdict: j as 'allow' }),
        }),
      ]
      const denied = await evaluate({ policies, mode: mode, grants: [] })
      expect(denied.verdict).toBe('deny')
      const verdict = await evaluate({ policies, mode: mode })
      if (f !== 'allow') expect(verdict.verdict).not.toBe('allow')
      if (mode === 'enforce' && j === 'deny') expect(verdict.verdict).toBe('deny')
    }),
  )
})
