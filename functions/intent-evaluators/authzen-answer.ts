// What an AuthZEN answer says, read strictly: only a boolean `decision` decides, and whatever this
// broker cannot carry out makes a denial of it (standards.md §15, RB-16).
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'

export type AuthzenAnswer = {
  readonly verdict: 'allow' | 'deny' | 'review'
  readonly reasonCode: string
  readonly ruleId?: string
  readonly hint?: string
}

const MAX_DEPTH = 16
const MAX_HINT_CHARACTERS = 300
const REASON_CODE = /^[a-z][a-z0-9_]{0,63}$/
/** Members by which a PDP makes its answer depend on something being done (obligations profile). */
const OBLIGATIONS = ['obligations', 'obligation', 'advice', 'advices'] as const

const DEFAULT_REASON = {
  allow: 'judge_allowed',
  deny: 'judge_denied',
  review: 'judge_review',
} as const

const INVALID: AuthzenAnswer = { verdict: 'deny', reasonCode: 'judge_invalid' }

/** Reads the body of a 200. Members that AuthZEN does not know are ignored, as it asks. */
export function readAuthzenAnswer(text: string, ruleIds: readonly string[]): AuthzenAnswer {
  const parsed = parseStrictJson(text, { maxDepth: MAX_DEPTH })
  if (!parsed.ok || !isJsonObject(parsed.value)) return INVALID
  const { decision, context } = parsed.value
  if (typeof decision !== 'boolean') return INVALID
  if (context !== undefined && context !== null && !isJsonObject(context)) return INVALID
  const said = isJsonObject(context) ? context : {}
  if (obliges(parsed.value) || obliges(said)) {
    return { verdict: 'deny', reasonCode: 'judge_obligation' }
  }
  const verdict = verdictOf(decision, said['verdict'])
  if (verdict === null) return INVALID
  return { verdict, reasonCode: reasonOf(said, verdict), ...remarks(said, ruleIds) }
}

function obliges(object: JsonObject): boolean {
  return OBLIGATIONS.some((name) => !isNothing(object[name]))
}

function isNothing(value: JsonValue | undefined): boolean {
  if (value === undefined || value === null) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** `review` is a kind of `decision: false`; a verdict that contradicts the decision is neither. */
function verdictOf(
  decision: boolean,
  verdict: JsonValue | undefined,
): AuthzenAnswer['verdict'] | null {
  if (verdict === undefined) return decision ? 'allow' : 'deny'
  if (decision) return verdict === 'allow' ? 'allow' : null
  return verdict === 'deny' || verdict === 'review' ? verdict : null
}

/** An evaluator may name its reason, but not pass for a failure of the broker's own finding. */
function reasonOf(context: JsonObject, verdict: AuthzenAnswer['verdict']): string {
  const reason = context['reason_code']
  const isUsable =
    typeof reason === 'string' && REASON_CODE.test(reason) && !reason.startsWith('judge_')
  return isUsable ? reason : DEFAULT_REASON[verdict]
}

function remarks(
  context: JsonObject,
  ruleIds: readonly string[],
): Pick<AuthzenAnswer, 'ruleId' | 'hint'> {
  const { rule_id: ruleId, hint } = context
  return {
    // Only a rule that was asked about; anything else would be a name of the evaluator's making.
    ...(typeof ruleId === 'string' && ruleIds.includes(ruleId) ? { ruleId } : {}),
    ...(typeof hint === 'string' && hint !== ''
      ? { hint: hint.slice(0, MAX_HINT_CHARACTERS).replace(/[\p{Cc}\p{Cf}\p{Surrogate}]/gu, ' ') }
      : {}),
  }
}
