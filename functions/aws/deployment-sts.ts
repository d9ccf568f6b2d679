// STS as this deployment asks it: by the SDK with the deployment's own credentials where there is one, else by
// signed calls of our own. Loaded when the first credential is made.
import type { Platform } from '../platform.ts'
import type { StsApi } from './contract.ts'

export function stsOnDemand({
  outbound,
  clock,
  awsSdk,
}: Pick<Platform, 'outbound' | 'clock' | 'awsSdk'>): () => Promise<StsApi> {
  // Kept as a value: workerd ties a promise to the request that made it.
  let made: StsApi | null = null
  return async () => {
    if (made !== null) return made
    if (awsSdk === undefined) {
      const { createStsFetch } = await import('./sts-fetch.ts')
      made ??= createStsFetch({ outbound, clock, keys: null })
    } else {
      const { createSts, ambientKeys } = await awsSdk()
      made ??= createSts({ outbound, clock, keys: ambientKeys() })
    }
    return made
  }
}
