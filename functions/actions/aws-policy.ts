// Session policy of an AWS credential, compiled from what is granted: never an action of an effect, nor
// a resource, that no grant has. AWS takes at most 2,048 characters; what does not fit is refused here.
import { arnCovers, arnMistake, arnParts, isArn } from '../core/arn-pattern.ts'
import { type Effect, EFFECTS, type Grant } from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { isPossible, readPattern } from './arn-format.ts'
import { isOwn, isWholeService } from './aws-resources.ts'
import type { AwsAction, AwsActions } from './aws-table.ts'
import { renderPolicy, shortenedToFit, type Statement } from './aws-statements.ts'

/** Of `Policy` in AssumeRole and AssumeRoleWithWebIdentity. */
export const MAX_POLICY_LENGTH = 2048
/** So many patterns never fit, whatever they are. */
const MAX_OBJECTS = 150
/** Of all of them together. What others cover is left out of the document, but first it is compared. */
const MAX_OBJECT_CHARACTERS = 4 * MAX_POLICY_LENGTH

export type SessionPolicyRequest = {
  readonly grants: readonly Grant[]
  /** When what it allows ends before the credential does; null: it lives as long. */
  readonly endsAt: Seconds | null
}

export type SessionPolicy = {
  readonly document: string
  /** Of the document: never more than was granted, and less where AWS has nothing of the kind. */
  readonly effects: readonly Effect[]
  readonly objects: readonly string[]
  /** The same, with each effect beside the objects it is for. */
  readonly grants: readonly Grant[]
}

export type PolicyRefusal = {
  readonly reason: 'policy_too_large' | 'not_expressible' | 'empty'
  /** How to ask instead; holds nothing but what was asked. */
  readonly hint: string
}

/** `table` from loadAwsActions. The same grants give the same document. */
export function compileSessionPolicy(
  { grants, endsAt }: SessionPolicyRequest,
  table: AwsActions,
): Result<SessionPolicy, PolicyRefusal> {
  const objects = [...new Set(grants.flatMap((grant) => grant.objects))].sort()
  if (objects.length === 0) return fail({ reason: 'empty', hint: 'nothing is granted' })
  if (objects.length > MAX_OBJECTS) return tooLarge(`${objects.length} objects`)
  const characters = objects.reduce((sum, object) => sum + object.length, 0)
  if (characters > MAX_OBJECT_CHARACTERS) return tooLarge(`objects of ${characters} characters`)
  const mistake = objectMistake(objects, table)
  if (mistake !== null) return fail({ reason: 'not_expressible', hint: mistake })

  const groups = groupsOf(objects, grants)
  const services = [...new Set(groups.map(({ service }) => service))].sort()
  const statements = groups.flatMap((group) => statementsOf(group, services, table))
  if (statements.length === 0) {
    const hint = 'no AWS action has these effects on these objects'
    return fail({ reason: 'not_expressible', hint })
  }
  const fitted = shortenedToFit(statements, endsAt, MAX_POLICY_LENGTH)
  if (fitted === null) {
    return tooLarge(`${renderPolicy(statements, endsAt).length} characters in full`)
  }
  const compiled = statements.map(({ effects, objects: of }) => ({ effects, objects: of }))
  return ok({
    document: fitted,
    effects: EFFECTS.filter((effect) => compiled.some(({ effects }) => effects.includes(effect))),
    objects: [...new Set(compiled.flatMap((grant) => grant.objects))].sort(),
    grants: compiled,
  })
}

function tooLarge(size: string): Result<never, PolicyRefusal> {
  const hint = `ask for fewer objects or effects: the session policy may have ${MAX_POLICY_LENGTH} characters, and this one has ${size}`
  return fail({ reason: 'policy_too_large', hint })
}

function objectMistake(objects: readonly string[], table: AwsActions): string | null {
  const other = objects.find((object) => !isArn(object) || arnMistake(object) !== null)
  if (other !== undefined) return 'objects must be ARNs'
  // A role acts in one partition; a policy for two is a mistake in one of them.
  if (new Set(objects.map((object) => arnParts(object)?.[1])).size > 1) {
    return 'objects must be of one partition'
  }
  const unknown = objects.map(serviceOf).find((service) => table.service(service) === null)
  return unknown === undefined ? null : `the actions of ${unknown} are not known here`
}

function serviceOf(object: string): string {
  return arnParts(object)?.[2] ?? ''
}

/** Objects of a service with the same effects: every pair of the two is granted. */
type Group = {
  readonly service: string
  readonly effects: readonly Effect[]
  /** Sets of effects that wider objects have there: what they allow need not be said again. */
  readonly already: readonly (readonly Effect[])[]
  readonly objects: readonly string[]
}

function groupsOf(objects: readonly string[], grants: readonly Grant[]): readonly Group[] {
  const effects = new Map(objects.map((object) => [object, effectsOn(object, grants)]))
  const groups = new Map<string, Omit<Group, 'objects'> & { objects: string[] }>()
  for (const [object, own] of effects) {
    const others = objects.filter((other) => isInsteadOf(other, object))
    const already = others.map((other) => effects.get(other) ?? [])
    if (own.length === 0 || already.some((there) => there.join() === own.join())) continue
    const service = serviceOf(object)
    const key = `${service} ${own.join()} ${already.map((there) => there.join()).join(' ')}`
    const group = groups.get(key) ?? { service, effects: own, already, objects: [] }
    group.objects.push(object)
    groups.set(key, group)
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

/** Of every grant that has the object, or a pattern that covers it. */
function effectsOn(object: string, grants: readonly Grant[]): readonly Effect[] {
  const own = grants.filter((grant) => grant.objects.some((pattern) => arnCovers(pattern, object)))
  return EFFECTS.filter((effect) => own.some(({ effects }) => effects.includes(effect)))
}

/** Wider; of two that cover each other the first is. */
function isInsteadOf(other: string, object: string): boolean {
  if (other === object || !arnCovers(other, object)) return false
  return !arnCovers(object, other) || other < object
}

function statementsOf(
  group: Group,
  services: readonly string[],
  table: AwsActions,
): readonly Statement[] {
  const space = (service: string) => {
    const all = table.service(service)?.actions ?? []
    const allowed = all.filter((action) => isOf(action, group.effects))
    const said = allowed.filter((action) => group.already.some((there) => isOf(action, there)))
    return { service, all, allowed, left: without(allowed, said) }
  }
  const own = space(group.service)
  const whole = group.objects.filter(isWholeService)
  const wide = whole.length === 0 ? [] : own.left.filter((action) => isOwn(action, own.service))
  // Actions without resources are known to AWS under `*` alone, and the author named everything.
  const resources = wide.some(({ formats }) => formats.length === 0) ? ['*'] : whole
  return [
    ...statement(whole, wide, { ...own, allowed: wide, resources }),
    ...scopedStatement(group.objects, without(own.left, wide), own),
    // `ssm:SendCommand` acts on instances of ec2: for that both have to be granted.
    ...services
      .filter((other) => other !== group.service)
      .map(space)
      .flatMap((other) => scopedStatement(group.objects, other.left, other)),
  ]
}

function isOf({ effects }: AwsAction, granted: readonly Effect[]): boolean {
  return effects.every((effect) => granted.includes(effect))
}

function without(
  actions: readonly AwsAction[],
  others: readonly AwsAction[],
): readonly AwsAction[] {
  const left = new Set(others)
  return actions.filter((action) => !left.has(action))
}

function scopedStatement(
  objects: readonly string[],
  actions: readonly AwsAction[],
  space: Pick<Statement, 'service' | 'all' | 'allowed'>,
): readonly Statement[] {
  const formats = [...new Set(actions.flatMap((action) => action.formats))]
  const possible = new Map(
    objects.map((object) => {
      const pattern = readPattern(object)
      return [object, formats.filter((format) => isPossible(format, pattern))]
    }),
  )
  const used = objects.filter((object) => possible.get(object)?.length !== 0)
  const meant = new Set([...possible.values()].flat())
  const selected = actions.filter((action) => action.formats.some((format) => meant.has(format)))
  return statement(used, selected, { ...space, resources: used })
}

function statement(
  objects: readonly string[],
  actions: readonly AwsAction[],
  space: Pick<Statement, 'service' | 'all' | 'allowed' | 'resources'>,
): readonly Statement[] {
  if (actions.length === 0) return []
  const effects = EFFECTS.filter((e) => actions.some((action) => action.effects.includes(e)))
  return [{ objects, effects, actions: actions.map(({ name }) => name).sort(), ...space }]
}
