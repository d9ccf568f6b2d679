// Contract of the intent-evaluators/ family. An evaluator may deny or ask; it never widens. Whatever it
// does not understand, and whatever goes wrong on the way, is a deny with its own reason code.
import type { EvaluationQuestion } from './intent.ts'
import type { DocumentError, EvaluatorPolicy } from './policy.ts'

export type EvaluatorAnswer = {
  readonly verdict: 'allow' | 'deny' | 'review'
  /** `judge_timeout`, `judge_invalid`, `judge_unavailable` … when the evaluator itself failed. */
  readonly reasonCode: string
  readonly ruleId?: string
  readonly hint?: string
  readonly latencyMs: number
}

export interface CompiledEvaluator {
  readonly name: string
  evaluate(question: EvaluationQuestion): Promise<EvaluatorAnswer>
}

export interface EvaluatorType {
  readonly type: string
  validate(policy: EvaluatorPolicy): readonly DocumentError[]
  compile(policy: EvaluatorPolicy): CompiledEvaluator
}
