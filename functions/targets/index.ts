// The list of target types.
import type { Outbound, Reach } from '../net/outbound.ts'
import type { TargetType } from '../core/target.ts'
import { createHttpTarget } from './http.ts'

export function createTargetTypes(deps: {
  readonly outbound: Outbound
  readonly reach: Reach
}): readonly TargetType[] {
  return [createHttpTarget(deps)]
}
