// Wires the plugins, the store and the ports into what the two paths are given. It decides nothing;
// every dependency of core/ is filled in here, once per process or isolate.
import type { ActionDeps } from './core/action.ts'
import { exchangeLimits } from './core/exchange-limits.ts'
import type { ExchangeDeps } from './core/exchange.ts'
import type { HandleVerifier } from './core/ports.ts'
import type { ReceiveDeps } from './core/receive-event.ts'
import { fail, ok } from './core/result.ts'
import type { TargetType } from './core/target.ts'
import { readHandleClaims } from './core/token.ts'
import { withdraw } from './core/withdrawal.ts'
import type { Withdraw } from './core/withdrawn.ts'
import { stsOnDemand } from './aws/deployment-sts.ts'
import { createExternalIds, type ExternalIds } from './aws/external-id.ts'
import type { ReadAwsSecret } from './aws/secrets-contract.ts'
import { createAuthMethodTypes } from './auth-methods/index.ts'
import { untrustedSetIssuer } from './auth-methods/security-events.ts'
import { selectAttestation } from './auth-methods/select.ts'
import { conditionsOnDemand } from './conditions/index.ts'
import type { Config } from './config.ts'
import { createProofVerifier } from './crypto/dpop.ts'
import { createFederationKeys, type FederationKeys } from './crypto/federation-keys.ts'
import { createHandleKeys, type HandleKeys } from './crypto/handle-keys.ts'
import { proofNonces } from './crypto/proof-nonce.ts'
import { createSealer } from './crypto/seal.ts'
import { createEvaluatorTypes } from './intent-evaluators/index.ts'
import { createKeySets, type KeySets } from './net/key-sets.ts'
import type { Reach } from './net/outbound.ts'
import type { Platform } from './platform.ts'
import { systemTimers } from './platforms/system.ts'
import type { PolicyTypes } from './policy/check.ts'
import { createPolicySource } from './policy/source.ts'
import { MAX_TTL_SECONDS } from './core/policy.ts'
import {
  createAwsSources,
  createEnvSource,
  createSealedSource,
  createSecrets,
} from './secrets/index.ts'
import { createStores, type Stores } from './store/index.ts'
import { createTargetTypes } from './targets/index.ts'

export type Services = {
  readonly stores: Stores
  readonly keys: HandleKeys
  readonly federation: FederationKeys
  readonly keySets: Pick<KeySets, 'refreshBundles'>
  readonly types: PolicyTypes
  readonly sealer: ReturnType<typeof createSealer>
  readonly externalIds: ExternalIds
  /** Has others refuse what ended sessions hold; what is asked with no cause is maintenance. */
  readonly withdraw: Withdraw
  /** The nonce to offer for the next DPoP proof. */
  readonly proofNonce: () => string
  /** Everything either path needs. */
  readonly paths: ExchangeDeps & ActionDeps & ReceiveDeps
}

export function createServices(
  platform: Platform,
  config: Config,
  plugins: readonly TargetType[] = [],
): Services {
  const { clock, hashing, outbound, driver } = platform
  const loopback = config.allowInsecureLoopback
  const reach: Reach = { privateNetwork: false, loopback }
  const stores = createStores({ driver, hashing, clock })
  const sealer = createSealer({ kek: config.kek, kekPrevious: config.kekPrevious })
  const keyDeps = { store: stores.signingKeys, sealer, clock }
  const keys = createHandleKeys({ ...keyDeps, maxHandleSeconds: MAX_TTL_SECONDS })
  const federation = createFederationKeys(`${config.issuer}/federation`, keyDeps)
  const secrets = createSecrets([
    createSealedSource({ store: stores.secrets, sealer, clock }),
    createEnvSource({ secrets: config.envSecrets, env: platform.env }),
    ...createAwsSources({
      reader: secretReader(platform, { config, federation }),
      region: config.awsRegion,
      clock,
      log: platform.log,
    }),
  ])
  const nonces = proofNonces(config)
  const keySets = createKeySets({ outbound, clock, reach })
  const ownIssuers = [config.issuer, federation.signer.issuer]
  const externalIds = createExternalIds({
    store: stores.secrets,
    sealer,
    clock,
    ids: platform.ids,
  })
  const types: PolicyTypes = {
    authMethods: createAuthMethodTypes({
      keySets,
      clock,
      hashing,
      reach,
      ownIssuers,
      issuer: config.issuer,
      outbound,
      secrets: secrets.resolve,
      canTrustOwnCa: platform.runtime !== 'workerd',
    }),
    targets: [
      ...createTargetTypes({
        outbound,
        reach,
        federation: federation.signer,
        ids: platform.ids,
        hashing,
        issuer: config.issuer,
        clock,
        env: platform.env,
        canAssumeByRole: platform.awsSdk !== undefined,
        sts: stsOnDemand(platform),
        externalIds,
      }),
      ...plugins,
    ],
    evaluators: createEvaluatorTypes({ outbound, reach, secrets: secrets.resolve, clock }),
    conditions: conditionsOnDemand(),
    secretAllowedOrigins: secrets.allowedOrigins,
    issuer: config.issuer,
  }
  const policy = createPolicySource({ store: stores.policy, types, clock, log: platform.log })
  const paths = {
    records: stores.records,
    policy,
    conditions: types.conditions,
    signer: keys.signer,
    handles: verifierOf(keys),
    proofs: createProofVerifier({ nonces, requiresNonce: config.requiresProofNonce }),
    secrets,
    select: selectAttestation,
    limits: exchangeLimits(config.exchangeRates, clock),
    untrustedSetIssuer,
    // Buckets of its own: a flood of events must not hold up the exchange.
    eventLimits: exchangeLimits(config.exchangeRates, clock),
    clock,
    timers: systemTimers,
    ids: platform.ids,
    hashing,
    issuer: config.issuer,
    maxDelegationDepth: config.maxDelegationDepth,
    isKilled: () => platform.env('SALLYPORT_KILL') === '1',
  }
  const withdraw = withdrawals(platform, { policy, records: stores.records })
  const proofNonce = () => nonces.at(clock.nowSeconds())
  return {
    stores,
    keys,
    federation,
    keySets,
    types,
    sealer,
    externalIds,
    paths: { ...paths, withdraw },
    withdraw,
    proofNonce,
  }
}

/** Costs a look at the policy where no target hands over what others honour. */
function withdrawals(
  { clock, ids, hashing, log }: Platform,
  { policy, records }: Pick<ExchangeDeps, 'policy' | 'records'>,
): Withdraw {
  return async (cause) => {
    // As it is now: a target that this isolate has not heard of may have handed something over.
    const { revision } = await records.readPolicyState()
    const { targets, disabledTargets = [] } = await policy.atLeast(revision)
    const honoured = [...targets, ...disabledTargets].flatMap(([target, { minting }]) =>
      minting?.withdrawal === undefined ? [] : [{ target, withdrawal: minting.withdrawal }],
    )
    if (honoured.length === 0) return null
    return withdraw(honoured, cause, { records, clock, ids, hashing, log })
  }
}

/** Loads what asks AWS when the first secret of AWS is read, and once. */
function secretReader(
  { outbound, clock, ids, env, awsSdk }: Platform,
  { config, federation }: { readonly config: Config; readonly federation: FederationKeys },
): () => Promise<ReadAwsSecret> {
  let reader: ReadAwsSecret | null = null
  // In a private network AWS's own names lead to addresses of it, and nobody else chooses a name here.
  const reach: Reach = { privateNetwork: true, loopback: config.allowInsecureLoopback }
  const { awsRoleArn: roleArn, awsRegion: region } = config
  const deps = { outbound, clock, ids, env, reach, roleArn, region, signer: federation.signer }
  return async () => {
    if (reader !== null) return reader
    const sdk = (await awsSdk?.()) ?? null
    const { deploymentSecrets } = await import('./aws/deployment-secrets.ts')
    const made = await deploymentSecrets({ ...deps, sdk })
    // Whoever came first: its keys are the ones that are kept.
    reader ??= made
    return reader
  }
}

function verifierOf(keys: HandleKeys): HandleVerifier {
  return {
    async verify(token, now) {
      const payload = await keys.verify(token, now)
      if (!payload.ok) return payload
      const claims = readHandleClaims(payload.value)
      return claims === null ? fail('malformed') : ok(claims)
    },
  }
}
