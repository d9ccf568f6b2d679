// What is allowed in a policy and yet probably not meant: settings without effect, rules that do not
// enforce, doors wider than needed. Never a reason to refuse.
import { letsClaimsMeet } from '../core/arn-pattern.ts'
import { isEverything } from '../core/object-pattern.ts'
import type {
  BindingPolicy,
  DocumentError,
  IntentPolicy,
  LimitsPolicy,
  PolicyDocument,
  PolicyKind,
  TargetPolicy,
} from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import type { PolicyObject } from '../store/contract.ts'
import { below, pointer } from './pointer.ts'

/** A policy of 100,000 bindings without an owner is told so this many times. */
const MAX_WARNINGS = 500

/** Limits that count nothing at targets of a type. */
const WITHOUT_EFFECT: Readonly<Record<string, readonly (keyof LimitsPolicy)[]>> = {
  http: ['rows'],
}

export function policyWarnings(document: PolicyDocument, now: Seconds): DocumentError[] {
  const targets = new Map(document.targets.map((target) => [target.name, target]))
  const users = new Set(
    document.auth_methods.flatMap(({ name, subject }) => (subject === 'user' ? [name] : [])),
  )
  return [
    ...document.bindings.flatMap((binding, i) =>
      below(pointer('bindings', i), [
        ...bindingWarnings(binding, targets.get(binding.target), now),
        ...userWarnings(binding, users),
      ]),
    ),
    ...document.intent_policies.flatMap((policy, i) =>
      below(pointer('intent_policies', i), intentPolicyWarnings(policy)),
    ),
  ].slice(0, MAX_WARNINGS)
}

/** Warnings of one object among those that are stored; paths are relative to it. */
export function objectWarnings(
  kind: PolicyKind,
  object: PolicyObject,
  stored: Pick<PolicyDocument, 'targets'>,
  now: Seconds,
): DocumentError[] {
  const alone = { ...NOTHING, targets: stored.targets, [kind]: [object] }
  const prefix = pointer(kind, 0)
  return policyWarnings(alone, now)
    .filter(({ path }) => path.startsWith(`${prefix}/`))
    .map((found) => ({ ...found, path: found.path.slice(prefix.length) }))
}

const NOTHING: PolicyDocument = { auth_methods: [], targets: [], bindings: [], intent_policies: [] }

function bindingWarnings(
  binding: BindingPolicy,
  target: TargetPolicy | undefined,
  now: Seconds,
): DocumentError[] {
  return [
    ...ruleWarnings(binding),
    ...limitWarnings(binding, target),
    ...grantWarnings(binding),
    ...dateWarning(
      '/expires_at',
      'expired',
      'is past: this binding matches nothing',
      binding.expires_at,
      now,
    ),
    ...dateWarning(
      '/review_by',
      'review_due',
      'is past: this binding waits for a review',
      binding.review_by,
      now,
    ),
  ]
}

function userWarnings(binding: BindingPolicy, users: ReadonlySet<string>): DocumentError[] {
  const { auth_method: method, effect, allow_impersonation: mayImpersonate } = binding
  if (!users.has(method) || effect === 'deny' || mayImpersonate === true) return []
  const message = 'opens nothing: a user’s token alone needs allow_impersonation'
  return [warning('/allow_impersonation', 'no_effect', message)]
}

function intentPolicyWarnings(policy: IntentPolicy): DocumentError[] {
  if (policy.rules.length === 0 || policy.judge !== undefined) return []
  const message = 'without a judge, what the deterministic tiers leave open needs a review'
  return [warning('/rules', 'no_judge', message)]
}

function ruleWarnings(binding: BindingPolicy): DocumentError[] {
  const found: DocumentError[] = []
  if (binding.owner === undefined)
    found.push(warning('/owner', 'no_owner', 'nobody owns this binding'))
  if (binding.mode === 'log_only')
    found.push(warning('/mode', 'log_only', 'envelope, rules and judge are recorded, not enforced'))
  if (binding.intent?.on_review === 'allow')
    found.push(warning('/intent/on_review', 'review_allowed', 'what needs a review is let through'))
  return found
}

function limitWarnings(binding: BindingPolicy, target: TargetPolicy | undefined): DocumentError[] {
  const idle = target === undefined ? [] : (WITHOUT_EFFECT[target.type] ?? [])
  return idle
    .filter((limit) => binding.limits?.[limit] !== undefined)
    .map((limit) =>
      warning(
        pointer('limits', limit),
        'no_effect',
        `counts nothing at a target of type ${target?.type}`,
      ),
    )
}

function grantWarnings(binding: BindingPolicy): DocumentError[] {
  if (binding.effect === 'deny')
    return binding.grants.length === 0
      ? []
      : [
          warning(
            '/grants',
            'no_effect',
            'a deny refuses the whole target, whatever its grants say',
          ),
        ]
  return binding.grants.flatMap((grant, i) =>
    grant.objects.flatMap((object, j) => {
      const path = pointer('grants', i, 'objects', j)
      if (isEverything(object)) return [warning(path, 'open_pattern', 'grants every object')]
      return letsClaimsMeet(object) ? [warning(path, 'open_claim', OPEN_CLAIM)] : []
    }),
  )
}

const OPEN_CLAIM =
  'another caller’s claim may begin or end the same: let a claim stand alone between `/` or `:`'

function dateWarning(
  path: string,
  code: string,
  message: string,
  date: string | undefined,
  now: Seconds,
): DocumentError[] {
  return date !== undefined && Date.parse(date) / 1000 <= now ? [warning(path, code, message)] : []
}

function warning(path: string, code: string, message: string): DocumentError {
  return { path, code, message }
}
