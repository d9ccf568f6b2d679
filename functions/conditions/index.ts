// Conditions on demand: the CEL engine is a third of the bundle and most policies have no condition, so
// it is loaded when the first one turns up. Asking before it is loaded is a bug, and throws.
import type { Conditions } from '../core/snapshot.ts'

export function conditionsOnDemand(): Conditions {
  let engine: Conditions | null = null
  const loaded = (): Conditions => {
    if (engine === null) throw new Error('load() has to come before a condition is asked')
    return engine
  }
  return {
    async load(bindings) {
      if (engine !== null || bindings.every(({ condition }) => condition === undefined)) return
      const { celConditions } = await import('./cel.ts')
      engine ??= celConditions()
    },
    holds: (...question) => loaded().holds(...question),
    mistake: (expression) => loaded().mistake(expression),
  }
}
