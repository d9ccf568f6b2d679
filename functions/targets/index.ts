// The list of target types.
import type { Outbound, Reach } from '../net/outbound.ts'
import type { TargetType } from '../core/target.ts'
import { createAwsStsTarget, type AwsStsDeps } from './aws-sts.ts'
import { createHttpTarget } from './http.ts'
import { createIdJagTarget } from './id-jag.ts'
import type { IssuedTokenDeps } from './issued-token.ts'
import { createTxnTokenTarget } from './txn-token.ts'

export type TargetDeps = AwsStsDeps &
  IssuedTokenDeps & { readonly outbound: Outbound; readonly reach: Reach }

export function createTargetTypes(deps: TargetDeps): readonly TargetType[] {
  return [
    createHttpTarget(deps),
    createAwsStsTarget(deps),
    createIdJagTarget(deps),
    createTxnTokenTarget(deps),
  ]
}
