// What the grants of a binding must satisfy where objects are ARNs: they can be read, they are of the
// role's partition and of a service whose actions are known, and each effect is one that some action has
// there. A grant that selects nothing looks like access and is none.
import { arnParts, arnTemplateMistake, isArn, withoutClaims } from '../core/arn-pattern.ts'
import { isConcerned } from '../actions/aws-resources.ts'
import { type AwsActions, loadAwsActions } from '../actions/aws-table.ts'
import type { JsonObject } from '../core/identity.ts'
import type { DocumentError, Effect, Grant } from '../core/policy.ts'
import { pointer } from './pointer.ts'

type Site = {
  /** Of the role; null where it cannot be read. */
  readonly partition: string | null
  /** Null: the target names its policies, and none is compiled. */
  readonly table: AwsActions | null
}

/** `config`: of the target, which may have mistakes of its own. */
export async function arnGrantMistakes(
  grants: readonly Grant[],
  { role_arn: roleArn, policy_arns: managed }: JsonObject,
): Promise<readonly DocumentError[]> {
  const site: Site = {
    partition: typeof roleArn === 'string' ? (arnParts(roleArn)?.[1] ?? null) : null,
    table: managed === undefined ? await loadAwsActions() : null,
  }
  return grants.flatMap((grant, i) => [
    ...grant.objects.flatMap((object, j) => {
      const mistake = objectMistake(object, grant.effects, site)
      return mistake === null ? [] : [{ path: pointer('grants', i, 'objects', j), ...mistake }]
    }),
    ...idleEffects(grant, site).map((effect) => ({
      path: pointer('grants', i, 'effects', grant.effects.indexOf(effect)),
      code: 'no_action',
      message: `no action of AWS has the effect ${effect} on these objects`,
    })),
  ])
}

type Mistake = Pick<DocumentError, 'code' | 'message'>

function objectMistake(
  object: string,
  effects: readonly Effect[],
  { partition: wanted, table }: Site,
): Mistake | null {
  // All that the policies of the target allow, which are handed over as a whole.
  if (table === null && object === '*') return null
  if (!isArn(object)) {
    return { code: 'pattern', message: 'must be an ARN, such as `arn:aws:s3:::reports/*`' }
  }
  const mistake = arnTemplateMistake(object)
  if (mistake !== null) return { code: 'pattern', message: mistake }
  const [, partition = '', service = ''] = arnParts(withoutClaims(object)) ?? []
  if (wanted !== null && partition !== wanted) {
    return { code: 'value', message: `must be of the role's partition, ${wanted}` }
  }
  if (table === null) return null
  if (table.service(service) === null) {
    const message = `the actions of "${service}" are not known here: let the target name policy_arns`
    return { code: 'unknown_service', message }
  }
  if (effects.some((effect) => selects(effects, effect, object, table))) return null
  return { code: 'no_action', message: 'no action of AWS has any of these effects on it' }
}

/** Effects that nothing has on any object; objects with mistakes of their own are told as such. */
function idleEffects({ effects, objects }: Grant, { table }: Site): readonly Effect[] {
  if (table === null) return []
  const known = objects.filter((object) => {
    const service = arnParts(withoutClaims(object))?.[2] ?? ''
    return arnTemplateMistake(object) === null && table.service(service) !== null
  })
  if (known.length === 0) return []
  return effects.filter((effect) => !known.some((o) => selects(effects, effect, o, table)))
}

/** Whether the effects together select an action that has `effect`. */
function selects(
  effects: readonly Effect[],
  effect: Effect,
  object: string,
  table: AwsActions,
): boolean {
  const plain = withoutClaims(object)
  const service = arnParts(plain)?.[2] ?? ''
  const actions = table.service(service)?.actions ?? []
  return actions.some(
    (action) =>
      action.effects.includes(effect) &&
      action.effects.every((one) => effects.includes(one)) &&
      isConcerned(action, service, plain),
  )
}
