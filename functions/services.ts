// Wires the plugins, the store and the ports into what the two paths are given. It decides nothing;
// every dependency of core/ is filled in here, once per process or isolate.
import type { ActionDeps } from './core/action.ts'
import { exchangeLimits } from './core/exchange-limits.ts'
import type { ExchangeDeps } from './core/exchange.ts'
import type { HandleVerifier } from './core/ports.ts'
import type { ReceiveDeps } from './core/receive-event.ts'
import { fail, ok } from './core/result.ts'
import { readHandleClaims } from './core/token.ts'
import { createAuthMethodTypes } from './auth-methods/index.ts'
import { untrustedSetIssuer } from './auth-methods/security-events.ts'
import { selectAttestation } from './auth-methods/select.ts'
import { conditionsOnDemand } from './conditions/index.ts'
import type { Config } from './config.ts'
import { createProofVerifier } from './crypto/dpop.ts'
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
import { createEnvSource, createSealedSource, createSecrets } from './secrets/index.ts'
import { createStores, type Stores } from './store/index.ts'
import { createTargetTypes } from './targets/index.ts'

export type Services = {
  readonly stores: Stores
  readonly keys: HandleKeys
  readonly keySets: Pick<KeySets, 'refreshBundles'>
  readonly types: PolicyTypes
  readonly sealer: ReturnType<typeof createSealer>
  /** The nonce to offer for the next DPoP proof. */
  readonly proofNonce: () => string
  /** Everything either path needs. */
  readonly paths: ExchangeDeps & ActionDeps & ReceiveDeps
}

export function createServices(platform: Platform, config: Config): Services {
  const { clock, hashing, outbound, driver } = platform
  const loopback = config.allowInsecureLoopback
  const reach: Reach = { privateNetwork: false, loopback }
  const stores = createStores({ driver, hashing, clock })
  const sealer = createSealer({ kek: config.kek, kekPrevious: config.kekPrevious })
  const keys = createHandleKeys({
    store: stores.signingKeys,
    sealer,
    clock,
    maxHandleSeconds: MAX_TTL_SECONDS,
  })
  const secrets = createSecrets([
    createSealedSource({ store: stores.secrets, sealer, clock }),
    createEnvSource({ secrets: config.envSecrets, env: platform.env }),
  ])
  const nonces = proofNonces(config)
  const keySets = createKeySets({ outbound, clock, reach })
  const ownIssuers = [config.issuer, `${config.issuer}/federation`]
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
    targets: createTargetTypes({ outbound, reach }),
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
    isKilled: () => platform.env('SALLYPORT_KILL') === '1',
  }
  const proofNonce = () => nonces.at(clock.nowSeconds())
  return { stores, keys, keySets, types, sealer, paths, proofNonce }
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
