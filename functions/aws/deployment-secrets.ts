// Who asks AWS for the secrets of this deployment, and with whose keys: the role that it names, else the
// credentials that it runs with. One of the two, never the other one in its place.
import type { Clock, FederationSigner, Ids } from '../core/ports.ts'
import { fail } from '../core/result.ts'
import type { Outbound, Reach } from '../net/outbound.ts'
import type { AwsFault, AwsSdk } from './contract.ts'
import { createRoleKeys } from './role-keys.ts'
import { createFetchSecrets } from './secrets-fetch.ts'
import type { ReadAwsSecret, ReadAwsSecretDeps } from './secrets-contract.ts'
import { createStsFetch } from './sts-fetch.ts'

export type DeploymentSecretsDeps = {
  readonly outbound: Outbound
  readonly clock: Clock
  readonly ids: Ids
  readonly reach: Reach
  readonly env: (name: string) => string | undefined
  readonly signer: Pick<FederationSigner, 'sign'>
  /** SALLYPORT_AWS_ROLE_ARN. */
  readonly roleArn: string | null
  readonly region: string | null
  /** Null where there is none (Workers). */
  readonly sdk: AwsSdk | null
}

export async function deploymentSecrets(deps: DeploymentSecretsDeps): Promise<ReadAwsSecret> {
  const { sdk, outbound, clock, reach, env } = deps
  const readDeps = { outbound, clock, reach, env, keys: keysOf(deps) }
  if (sdk === null) return createFetchSecrets(readDeps)
  const createSdkSecrets = await sdk.loadSecrets()
  return createSdkSecrets(readDeps)
}

const NO_CREDENTIALS: AwsFault = { kind: 'no_credentials', code: 'none', status: null }

function keysOf(deps: DeploymentSecretsDeps): ReadAwsSecretDeps['keys'] {
  const { sdk, outbound, clock, roleArn } = deps
  if (roleArn !== null) {
    const stsDeps = { outbound, clock, keys: null }
    const sts = sdk === null ? createStsFetch(stsDeps) : sdk.createSts(stsDeps)
    const keys = createRoleKeys({ ...deps, sts, roleArn })
    // One region for the keys of all secrets, where the deployment has one.
    return (region) => keys(deps.region ?? region)
  }
  return sdk === null ? () => Promise.resolve(fail(NO_CREDENTIALS)) : sdk.ambientKeys()
}
