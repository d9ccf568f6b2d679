// Tokens that are issued for others may be asked for as their own standards do it: by `audience` and `resource`
// of the downstream (ID-JAG §4.3, transaction tokens). Which target that is, policy says.
import type { ExchangeRequest } from './exchange.ts'
import type { PolicySnapshot } from './snapshot.ts'

type Asked = Pick<ExchangeRequest, 'targets' | 'requestedType'>

/** Names of targets; what names none, or more than one, stays as it is and is unknown. */
export function targetsNamed(
  { targets, requestedType }: Asked,
  snapshot: PolicySnapshot,
): readonly string[] {
  const foreign = targets.filter((name) => !snapshot.targets.has(name))
  if (foreign.length === 0) return targets
  const [fitting, ...others] = [...snapshot.targets.values()].filter(
    ({ minting }) =>
      minting?.tokenType === requestedType &&
      foreign.every((name) => minting.knownAs?.includes(name) === true),
  )
  if (fitting === undefined || others.length > 0) return targets
  const named = targets.filter((name) => !foreign.includes(name))
  return [...new Set([...named, fitting.policy.name])]
}
