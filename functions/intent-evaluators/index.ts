// The list of the intent-evaluators/ family.
import type { EvaluatorType } from '../core/evaluator.ts'
import { authzen, type EvaluatorDeps } from './authzen.ts'

export type { EvaluatorDeps }

export function createEvaluatorTypes(deps: EvaluatorDeps): readonly EvaluatorType[] {
  return [authzen(deps)]
}
