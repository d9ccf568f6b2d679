// What a credential of AWS would be: the session policy that says what is granted and no more, the names that
// CloudTrail shows, the end. No I/O.
import { compileSessionPolicy } from '../actions/aws-policy.ts'
import { loadAwsActions } from '../actions/aws-table.ts'
import type { Failure } from '../core/failure.ts'
import type { JsonObject } from '../core/identity.ts'
import type { Action } from '../core/intent.ts'
import type { MintFacts, MintPlan } from '../core/minting.ts'
import { objectMatches } from '../core/object-pattern.ts'
import type { Effect, Grant, TargetPolicy } from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsStsSettings, ManagedPolicies } from './aws-sts-config.ts'
import { MIN_SECONDS, type PreparedAssume } from './aws-sts-mint.ts'
import { sessionNames } from './aws-sts-names.ts'

/** What judges and the store may take, until AWS is asked. */
const MARGIN_SECONDS = 60
/** SC-01: the longest that AWS grants, and the longest by chained roles (SC-02). */
const MAX_SECONDS = 43_200
const MAX_CHAINED_SECONDS = 3_600

type Site = { readonly target: TargetPolicy; readonly settings: AwsStsSettings }

export async function planAssume(facts: MintFacts, site: Site): Promise<Result<MintPlan, Failure>> {
  const { settings } = site
  const endsAt = endOf(facts, settings)
  const seconds = endsAt - facts.now
  if (seconds < 1) return fail({ kind: 'mint_refused', reason: 'no_time_left' })
  // What AWS cannot do by its own clock, the session policy does: below its minimum, or when it may be
  // below it by the time that AWS is asked, it says until when.
  const until = seconds < MIN_SECONDS + MARGIN_SECONDS ? endsAt : null
  const allowed = await allowedBy(facts.grants, settings.managed, until)
  if (!allowed.ok) return allowed
  const names = sessionNames(facts, settings)
  if (!names.ok) return names
  const prepared: PreparedAssume = {
    roleArn: settings.roleArn,
    names: names.value,
    durationSeconds: Math.max(seconds, MIN_SECONDS),
    policy: allowed.value.document,
    policyArns: settings.managed?.arns ?? [],
    isEndedByPolicy: until !== null,
  }
  return ok({ action: actionOf(site, allowed.value, prepared), endsAt, prepared })
}

/** The broker's own credentials are a role's on Lambda, ECS and EKS, and a role from a role has an hour. */
function endOf({ now, endsAt }: MintFacts, { assumeBy }: AwsStsSettings): Seconds {
  return Math.min(endsAt, now + (assumeBy === 'role' ? MAX_CHAINED_SECONDS : MAX_SECONDS))
}

type Allowed = {
  /** Inline session policy; null: none is needed. */
  readonly document: string | null
  readonly effects: readonly Effect[]
  readonly objects: readonly string[]
}

async function allowedBy(
  grants: readonly Grant[],
  managed: ManagedPolicies | null,
  until: Seconds | null,
): Promise<Result<Allowed, Failure>> {
  if (managed !== null) return allowedByManaged(grants, managed, until)
  const policy = compiledFor({ grants, endsAt: until }, await loadAwsActions())
  if (policy.ok) return policy
  const { reason, hint } = policy.failure
  return fail({ kind: 'mint_refused', reason, hint })
}

/** The same grants come again with every session of a binding, and to compile them costs more than to sign. */
const MAX_COMPILED = 256
const compiled = new Map<string, ReturnType<typeof compileSessionPolicy>>()

function compiledFor(
  ...[asked, actions]: Parameters<typeof compileSessionPolicy>
): ReturnType<typeof compileSessionPolicy> {
  const key = JSON.stringify(asked)
  const known = compiled.get(key)
  if (known !== undefined) return known
  const made = compileSessionPolicy(asked, actions)
  // What is refused is of any length that a caller likes, and is not kept.
  if (!made.ok) return made
  if (compiled.size >= MAX_COMPILED) compiled.clear()
  compiled.set(key, made)
  return made
}

/**
 * Managed policies are all or nothing: what they allow has to be granted as it is, or whoever narrowed it
 * (a scope, an envelope, an effect that was taken away) would be told less than the credential does.
 */
function allowedByManaged(
  grants: readonly Grant[],
  { effects, objects }: ManagedPolicies,
  until: Seconds | null,
): Result<Allowed, Failure> {
  const isGranted = effects.every((effect) =>
    objects.every((object) =>
      grants.some(
        (grant) =>
          grant.effects.includes(effect) &&
          grant.objects.some((pattern) => objectMatches(pattern, object)),
      ),
    ),
  )
  if (isGranted) return ok({ document: until === null ? null : endingAt(until), effects, objects })
  const hint =
    'this target hands over what its managed policies allow as a whole, and no part of it'
  return fail({ kind: 'mint_refused', reason: 'not_expressible', hint })
}

/** Beside managed policies, which allow, it only denies. */
function endingAt(until: Seconds): string {
  const time = new Date(until * 1000).toISOString().replace('.000Z', 'Z')
  const Condition = { DateGreaterThanEquals: { 'aws:CurrentTime': time } }
  const statement = { Effect: 'Deny', Action: '*', Resource: '*', Condition }
  return JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
}

/** Nothing of one request alone is in the record: an approval has to fit the same question asked again. */
function actionOf(
  { target, settings }: Site,
  { effects, objects }: Allowed,
  { durationSeconds, policy, policyArns }: PreparedAssume,
): Action {
  const { roleArn, assumeBy, endpoint } = settings
  const asked: JsonObject = {
    role_arn: roleArn,
    region: endpoint.region,
    assume_by: assumeBy,
    ...(policyArns.length === 0 ? {} : { policy_arns: [...policyArns] }),
  }
  return {
    name: 'aws.assume',
    target: target.name,
    targetType: target.type,
    targetLabels: target.labels ?? [],
    effects,
    objects,
    destinations: [endpoint.url.host],
    properties: { ...asked, duration_seconds: durationSeconds, session_policy: policy },
    record: { name: 'aws.assume', target: target.name, ...asked },
  }
}
