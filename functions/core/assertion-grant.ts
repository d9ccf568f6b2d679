// An assertion that is a grant and no attestation (ID-JAG): its issuer says who may redeem it and for what.
// The request is held to that, and takes from it what it leaves out itself.
import type { Failure } from './failure.ts'
import { narrowGrants } from './grants.ts'
import type { Identity } from './identity.ts'
import type { Grant } from './policy.ts'
import { fail, ok, type Result } from './result.ts'
import type { ScopeItem } from './scope.ts'

export type AssertionGrant = {
  /** `{auth_method}:{subject}` of the one agent that may redeem it. */
  readonly presenter: string
  /** The targets that it is for; null: any. */
  readonly targets: readonly string[] | null
  /** The most that it gives; null: whatever the bindings give. */
  readonly scope: readonly ScopeItem[] | null
}

type Asked = { readonly targets: readonly string[]; readonly scope: readonly ScopeItem[] | null }

export function heldToGrants<R extends Asked>(
  request: R,
  attestations: readonly Pick<Identity, 'grant'>[],
): Result<R, Failure> {
  let held = request
  for (const { grant } of attestations) {
    if (grant === undefined) continue
    const one = heldTo(held, grant)
    if (!one.ok) return one
    held = one.value
  }
  // A redemption may leave it to the grant to name them (MCP Enterprise-Managed Authorization).
  return held.targets.length === 0
    ? fail({ kind: 'invalid_target', reason: 'malformed' })
    : ok(held)
}

function heldTo<R extends Asked>(request: R, grant: AssertionGrant): Result<R, Failure> {
  const targets = request.targets.length === 0 ? (grant.targets ?? []) : request.targets
  const beyond = targets.find((name) => grant.targets?.includes(name) === false)
  if (beyond !== undefined) {
    return fail({ kind: 'invalid_target', reason: 'not_asserted', target: beyond })
  }
  if (grant.scope === null) return ok({ ...request, targets })
  const scope = scopeOf(narrowGrants(grantsOf(grant.scope), request.scope, undefined))
  return scope.length === 0
    ? fail({ kind: 'invalid_scope', reason: 'nothing_left' })
    : ok({ ...request, targets, scope })
}

const EVERYTHING = '**'

function grantsOf(scope: readonly ScopeItem[]): readonly Grant[] {
  return scope.map(({ effect, object }) => ({ effects: [effect], objects: [object ?? EVERYTHING] }))
}

function scopeOf(grants: readonly Grant[]): readonly ScopeItem[] {
  return grants.flatMap(({ effects, objects }) =>
    effects.flatMap((effect) =>
      objects.map((object) => ({ effect, object: object === EVERYTHING ? null : object })),
    ),
  )
}
