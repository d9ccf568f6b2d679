// An evaluator that answers what it is told and keeps what it was asked.
import type { CompiledEvaluator, EvaluatorAnswer } from '../../functions/core/evaluator.ts'
import type { EvaluationQuestion } from '../../functions/core/intent.ts'

export type FakeEvaluator = CompiledEvaluator & { readonly asked: EvaluationQuestion[] }

export function fakeEvaluator(
  name: string,
  answer: Partial<EvaluatorAnswer> | Error,
): FakeEvaluator {
  const asked: EvaluationQuestion[] = []
  return {
    name,
    asked,
    async evaluate(question) {
      asked.push(question)
      if (answer instanceof Error) throw answer
      return { verdict: 'allow', reasonCode: `${name}_says`, latencyMs: 1, ...answer }
    },
  }
}
