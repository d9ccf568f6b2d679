// `session.open`: an exchange, as another gateway would ask about it before it makes one.
import type { ActionType } from '../core/action-type.ts'
import { fail, ok } from '../core/result.ts'
import { parseScope } from '../core/scope.ts'

export const sessionOpen: ActionType = {
  name: 'session.open',
  async read({ properties, resource }) {
    const { targets, scope } = properties
    // One resource, one target: what is asked about others would go unjudged.
    const isThisOne = Array.isArray(targets) && targets.length === 1 && targets[0] === resource.id
    if (targets !== undefined && !isThisOne) return fail('malformed_targets')
    const isScopeGiven = scope !== undefined && scope !== null && scope !== ''
    if (isScopeGiven && (typeof scope !== 'string' || !parseScope(scope).ok)) {
      return fail('malformed_scope')
    }
    const action = {
      name: 'session.open' as const,
      target: resource.id,
      targetType: resource.type,
      targetLabels: resource.labels,
      effects: [],
      objects: [],
      destinations: [],
      properties: { targets: [resource.id], ...(isScopeGiven ? { scope } : {}) },
      record: { targets: [resource.id] },
    }
    return ok({ action, undetermined: [] })
  },
}
