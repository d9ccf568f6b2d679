// What it takes to get from the stored policy to a document. The same object, written differently, is
// no change: an unchanged policy bumps no revision.
import { isSame } from './canonical.ts'
import type { PolicyDocument, PolicyKind } from '../core/policy.ts'
import type { PolicyChange, PolicyObject } from '../store/contract.ts'
import { perKind } from './parse.ts'
import { POLICY_KINDS } from './schema.ts'

type Names = Readonly<Record<PolicyKind, readonly string[]>>

export type PolicyPlan = {
  readonly create: Names
  readonly update: Names
  readonly delete: Names
  readonly unchanged: Names
  readonly changes: readonly PolicyChange[]
  /** The policy as it will be. */
  readonly after: PolicyDocument
}

/** With `prune`, what the document does not name is deleted; without, it is kept. */
export function planPolicy(
  stored: PolicyDocument,
  wanted: PolicyDocument,
  options: { readonly prune: boolean },
): PolicyPlan {
  const names = () => perKind<string[]>(() => [])
  const plan = { create: names(), update: names(), delete: names(), unchanged: names() }
  const changes: PolicyChange[] = []
  const after = perKind<PolicyObject[]>(() => [])
  for (const kind of POLICY_KINDS) {
    const before = new Map(stored[kind].map((object) => [object.name, object]))
    for (const object of wanted[kind]) {
      const found = before.get(object.name)
      before.delete(object.name)
      after[kind].push(object)
      const what = found === undefined ? 'create' : isSame(found, object) ? 'unchanged' : 'update'
      plan[what][kind].push(object.name)
      if (what !== 'unchanged') changes.push({ op: 'put', kind, object })
    }
    for (const object of before.values()) {
      plan[options.prune ? 'delete' : 'unchanged'][kind].push(object.name)
      if (options.prune) changes.push({ op: 'delete', kind, name: object.name })
      else after[kind].push(object)
    }
  }
  // Each list holds objects of its own kind only.
  return { ...plan, changes, after: after as unknown as PolicyDocument }
}
