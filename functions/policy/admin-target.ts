// The built-in target through which administrators authenticate, and what counts as reaching it. Only
// the role `admin` writes what reaches it: everything else would let an editor make itself an admin.
import { canonicalJson } from '../core/audit.ts'
import { isJsonObject } from '../core/json.ts'
import { ADMIN_TARGET } from '../core/opening.ts'
import type { PolicyDocument, PolicyKind, TargetPolicy } from '../core/policy.ts'
import { bringsItsOrigins } from '../core/secret-source.ts'
import type { PolicyChange } from '../store/contract.ts'
import { originOf, secretUses, targetOrigins } from './secret-uses.ts'

export { ADMIN_TARGET }
export const ADMIN_ROLES = ['viewer', 'editor', 'approver', 'evaluator', 'admin'] as const
export type AdminRole = (typeof ADMIN_ROLES)[number]

/**
 * Those of the changes that are for admins only. `before` and `after` are the policy without and with
 * all of them: an object counts when it reaches the admin API in either, so that neither making,
 * changing, moving nor removing such a path is open to an editor.
 */
export function adminOnlyChanges(
  changes: readonly PolicyChange[],
  before: PolicyDocument,
  after: PolicyDocument,
  issuer: string,
): PolicyChange[] {
  const reaches = [adminReach(before, issuer), adminReach(after, issuer)]
  return changes.filter((change) => {
    const name = change.op === 'put' ? change.object.name : change.name
    if (reaches.some((reach) => reach[change.kind].has(name))) return true
    if (movesForeignSecret(change.kind, before, after, { name, issuer })) return true
    if (change.kind === 'auth_methods' && movesPrivateReview(before, after, name)) return true
    return change.kind === 'targets' && movesPrivateTarget(named(before, name), named(after, name))
  })
}

type Reach = Readonly<Record<PolicyKind, ReadonlySet<string>>>

/** Names of everything that stands between a caller and the admin API. */
function adminReach(policy: PolicyDocument, issuer: string): Reach {
  const targets = new Set([
    ADMIN_TARGET,
    ...policy.targets.filter((target) => isBroker(target, issuer)).map((target) => target.name),
  ])
  const bindings = policy.bindings.filter((binding) => targets.has(binding.target))
  return {
    targets,
    bindings: new Set(bindings.map((binding) => binding.name)),
    auth_methods: new Set(bindings.map((binding) => binding.auth_method)),
    intent_policies: new Set(
      bindings.map((binding) => binding.intent?.policy).filter((name) => name !== undefined),
    ),
  }
}

/** A target whose requests, with whatever credential it injects, come back to the broker itself. */
function isBroker(target: TargetPolicy, issuer: string): boolean {
  const own = originOf(issuer)
  return own !== null && targetOrigins(target).includes(own)
}

/** An editor may change the mask of a target that reaches a private address, not where it goes. */
function movesPrivateTarget(
  before: TargetPolicy | undefined,
  after: TargetPolicy | undefined,
): boolean {
  if (before?.private_network !== true && after?.private_network !== true) return false
  return (
    before?.private_network !== after?.private_network ||
    canonicalJson(before?.config ?? null) !== canonicalJson(after?.config ?? null)
  )
}

/** The same for a method whose API server is at a private address. */
function movesPrivateReview(before: PolicyDocument, after: PolicyDocument, name: string): boolean {
  const [was, is] = [before, after].map((policy) => {
    const { token_review: review } =
      policy.auth_methods.find((method) => method.name === name)?.config ?? {}
    return isJsonObject(review) && review['private_network'] === true ? canonicalJson(review) : null
  })
  return was !== is
}

/**
 * A variable of the environment, or a secret that AWS keeps, may have no origins of its own, so where it is
 * sent is the admin's to say: which object names it, and that object's destination.
 */
function movesForeignSecret(
  kind: PolicyKind,
  before: PolicyDocument,
  after: PolicyDocument,
  { name, issuer }: { readonly name: string; readonly issuer: string },
): boolean {
  // Bindings name no secret, and there may be 100,000 of them.
  if (kind === 'bindings') return false
  const uses = (policy: PolicyDocument) => {
    const object = policy[kind].find((one) => one.name === name)
    if (object === undefined) return []
    return secretUses(kind, object, issuer).filter(({ reference }) => !bringsItsOrigins(reference))
  }
  const now = uses(after)
  return now.length > 0 && JSON.stringify(now) !== JSON.stringify(uses(before))
}

function named(policy: PolicyDocument, name: string): TargetPolicy | undefined {
  return policy.targets.find((target) => target.name === name)
}
