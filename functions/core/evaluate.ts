// One action against everything that may stop it, in order: floor, envelope, AuthZEN floor, rules
// and judge (design/architecture.md). Each tier can only narrow: what one denied, none after it
// allows (INT-3).
import { coversWhole, envelopeVerdict, isOpenAgainst } from './envelope.ts'
import type { Undetermined } from './envelope.ts'
import type { CompiledEvaluator, EvaluatorAnswer } from './evaluator.ts'
import { grantsAllow } from './grants.ts'
import { isMinting } from './intent.ts'
import type { Action, AgentIntent, EvaluationQuestion, Tier, Verdict } from './intent.ts'
import { objectMatches } from './object-pattern.ts'
import type { Clock } from './ports.ts'
import type { Grant, IntentRule } from './policy.ts'
import { formatScope } from './scope.ts'
import type { CompiledIntentPolicy } from './snapshot.ts'

export type EvaluationInput = {
  readonly action: Action
  /**
   * What is granted at the action's target; null: no grants are known, the floor is not evaluated.
   */
  readonly grants: readonly Grant[] | null
  /** Names of the deny bindings that match. One is enough. */
  readonly deniedBy: readonly string[]
  readonly intent: AgentIntent | null
  /** Of the sessions that this one descends from, the root's first: their envelopes hold as well. */
  readonly intentsAbove?: readonly AgentIntent[]
  /** All of them apply. */
  readonly policies: readonly CompiledIntentPolicy[]
  /** Built only if an evaluator is asked; `context.rules` is filled in here, by policy. */
  readonly question: () => EvaluationQuestion
  /** `log_only` covers envelope, rules and judge; the floor always holds. */
  readonly mode: 'enforce' | 'log_only'
  /**
   * Absent: the normaliser understood the whole action. What is in it, no deterministic tier
   * allows.
   */
  readonly undetermined?: readonly Undetermined[]
}

/** `wouldHave`: what `log_only` let through, for the record. */
export type EvaluatedVerdict = Verdict & { readonly wouldHave?: Verdict }

const BROKER = 'sallyport'
const MAX_HINT_CHARACTERS = 512

type Decided = Omit<Verdict, 'latencyMs'>

/**
 * Judges one action. An allow names the tier that carried it: `judge` where one was asked,
 * `envelope` where the declared envelope lists the action, `floor` where only the grants speak,
 * `baseline` where in addition nothing was declared. Where not even grants are known, an action
 * that the envelope does not list is left open, and comes back as `review`.
 */
export async function evaluateAction(
  input: EvaluationInput,
  deps: { readonly clock: Clock },
): Promise<EvaluatedVerdict> {
  const startedMs = deps.clock.nowMs()
  const decided = await decide(input)
  const latencyMs = Math.max(0, deps.clock.nowMs() - startedMs)
  const { wouldHave, ...verdict } = decided
  if (wouldHave === undefined) return { ...verdict, latencyMs }
  return { ...verdict, latencyMs, wouldHave: { ...wouldHave, latencyMs } }
}

async function decide(input: EvaluationInput): Promise<Decided & { wouldHave?: Decided }> {
  const floor = floorVerdict(input)
  if (floor !== null) return floor
  const envelope = envelopesVerdict(input)
  if (envelope !== null && input.mode === 'enforce') return envelope

  // The AuthZEN floor is floor: it holds in log_only too, so an envelope breach does not skip it.
  const external = strictest(await askFloors(input))
  if (external?.verdict === 'deny') return external
  const soft = envelope ?? strictest(await judge(input)) ?? baseline(input)
  if (input.mode === 'log_only' && soft.verdict !== 'allow') {
    return { ...(external ?? logOnly()), wouldHave: soft }
  }
  return strictest([...(external === null ? [] : [external]), soft]) ?? soft
}

/** The first of the envelopes that the action is outside of, the originating one first. */
function envelopesVerdict({ action, intent, intentsAbove = [] }: EvaluationInput): Decided | null {
  for (const above of intentsAbove) {
    const outside = envelopeVerdict(action, above)
    if (outside !== null) return outside
  }
  return envelopeVerdict(action, intent)
}

/** Null when the floor holds or is not known. */
function floorVerdict({ action, grants, deniedBy, undetermined }: EvaluationInput): Decided | null {
  if (deniedBy.length > 0) return floorDenial('denied_by_binding')
  if (grants === null) return null
  // The floor of session.open is that something is granted; its objects are targets, not objects of
  // one.
  if (action.name === 'session.open') return grants.length > 0 ? null : floorDenial('not_granted')
  if (undetermined?.some((part) => part !== 'destinations')) return floorDenial('not_understood')
  if (isMinting(action)) return coversEach(action, grants) ? null : floorDenial('not_granted')
  if (grantsAllow(grants, action.effects, action.objects)) return null
  return floorDenial('not_granted', grantHint(grants))
}

/**
 * A credential is compiled from the grants, each with its own effects on its own objects; all effects on all
 * objects is more than what it is good for.
 */
function coversEach({ effects, objects }: Action, grants: readonly Grant[]): boolean {
  if (effects.length === 0 || objects.length === 0) return false
  return (
    effects.every((effect) => grants.some((grant) => grant.effects.includes(effect))) &&
    objects.every((object) =>
      grants.some((grant) => grant.objects.some((granted) => objectMatches(granted, object))),
    )
  )
}

function floorDenial(reasonCode: string, hint?: string): Decided {
  const denial = { verdict: 'deny', tier: 'floor', reasonCode, evaluator: BROKER } as const
  return hint === undefined ? denial : { ...denial, hint }
}

/**
 * The session's scope is no secret to its holder; it is cut at an item so that what is shown is
 * true.
 */
function grantHint(grants: readonly Grant[]): string {
  const scope = formatScope(grants)
  if (scope.length <= MAX_HINT_CHARACTERS) return `granted: ${scope}`
  const cut = scope.lastIndexOf(' ', MAX_HINT_CHARACTERS)
  return cut === -1 ? 'granted: see the scope of the session' : `granted: ${scope.slice(0, cut)} …`
}

async function askFloors({ policies, question }: EvaluationInput): Promise<readonly Decided[]> {
  const asked = policies.flatMap(({ floor, policy }) =>
    floor === null ? [] : [ask(floor, question, policy.rules, 'floor')],
  )
  return (await Promise.all(asked)).filter(({ verdict }) => verdict !== 'allow')
}

/**
 * What the rules and judges say. Rules without a judge are not judged, so they are never passed.
 */
async function judge({ policies, question }: EvaluationInput): Promise<readonly Decided[]> {
  const asked = policies.flatMap((policy): (Decided | Promise<Decided>)[] => {
    const { rules } = policy.policy
    if (policy.judge !== null) return [ask(policy.judge, question, rules, 'judge')]
    return rules.length > 0 ? [notJudged(rules)] : []
  })
  return Promise.all(asked)
}

function notJudged(rules: readonly IntentRule[]): Decided {
  const review = {
    verdict: 'review',
    tier: 'judge',
    reasonCode: 'judge_not_configured',
    evaluator: BROKER,
  } as const
  const [only, ...more] = rules
  return only === undefined || more.length > 0 ? review : { ...review, ruleId: only.id }
}

async function ask(
  evaluator: CompiledEvaluator,
  question: () => EvaluationQuestion,
  rules: readonly IntentRule[],
  tier: Tier,
): Promise<Decided> {
  const base = question()
  const listed = rules.map(({ id, text, effect }) => ({ id, text, effect }))
  const answer = await answerOf(evaluator, {
    ...base,
    context: { ...base.context, rules: listed },
  })
  return {
    // Whatever is neither of the two exact words is a deny.
    verdict: answer.verdict === 'allow' || answer.verdict === 'review' ? answer.verdict : 'deny',
    tier,
    reasonCode: answer.reasonCode,
    evaluator: evaluator.name,
    ...(answer.ruleId === undefined ? {} : { ruleId: answer.ruleId }),
    ...(answer.hint === undefined ? {} : { hint: answer.hint }),
  }
}

/**
 * An evaluator that breaks has not allowed anything; its defect is a denial, not a way around it.
 */
async function answerOf(
  evaluator: CompiledEvaluator,
  question: EvaluationQuestion,
): Promise<EvaluatorAnswer> {
  try {
    return await evaluator.evaluate(question)
  } catch {
    return { verdict: 'deny', reasonCode: 'judge_error', latencyMs: 0 }
  }
}

const SEVERITY = { allow: 0, review: 1, deny: 2 } as const

/** Deny before review before allow; among equals the first. */
function strictest(verdicts: readonly Decided[]): Decided | null {
  let worst: Decided | null = null
  for (const verdict of verdicts) {
    if (worst === null || SEVERITY[verdict.verdict] > SEVERITY[worst.verdict]) worst = verdict
  }
  return worst
}

/** No rule and no judge had a say, and grants and envelope hold as far as they are known. */
function baseline(input: EvaluationInput): Decided {
  const { action, grants, intent, intentsAbove = [], undetermined = [] } = input
  const allow = { verdict: 'allow', evaluator: BROKER } as const
  const isOpen = [intent, ...intentsAbove].some((one) => isOpenAgainst(one, undetermined))
  if (isOpen) return notJudged([])
  if (grants === null && !coversWhole(action, intent, undetermined)) return notJudged([])
  if (intent?.envelope !== undefined && action.name !== 'session.open') {
    return { ...allow, tier: 'envelope', reasonCode: 'within_envelope' }
  }
  if (intent !== null) return { ...allow, tier: 'floor', reasonCode: 'granted' }
  return { ...allow, tier: 'baseline', reasonCode: 'nothing_declared' }
}

function logOnly(): Decided {
  return { verdict: 'allow', tier: 'floor', reasonCode: 'log_only', evaluator: BROKER }
}
