// What the tests of the target types that issue tokens share: a federation issuer, and one token made.
import { createLocalJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { createHash } from 'node:crypto'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { MintFacts, MintPlan, Minted } from '../../functions/core/minting.ts'
import type { TargetPolicy } from '../../functions/core/policy.ts'
import type { TargetType } from '../../functions/core/target.ts'
import { createFederationKeys } from '../../functions/crypto/federation-keys.ts'
import { createSealer } from '../../functions/crypto/seal.ts'
import type { IssuedTokenDeps } from '../../functions/targets/issued-token.ts'
import { manualClock } from '../fakes/manual-clock.ts'
import { NOW } from '../fakes/mint-facts.ts'
import { fakeSigningKeyStore } from '../fakes/signing-key-store.ts'

export const BROKER = 'https://broker.example'
const ISSUER = `${BROKER}/federation`

export function issuing(loopback = false) {
  const clock = manualClock(NOW)
  const sealer = createSealer({ kek: new Uint8Array(32).fill(1), kekPrevious: null })
  const keys = createFederationKeys(ISSUER, { store: fakeSigningKeyStore(), sealer, clock })
  let count = 0
  const deps: IssuedTokenDeps = {
    federation: keys.signer,
    ids: { fresh: (prefix) => `${prefix}_${String(++count)}` },
    hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
    reach: { privateNetwork: false, loopback },
    issuer: BROKER,
  }
  return { clock, keys, deps }
}

export type Issued = {
  readonly plan: MintPlan
  readonly minted: Minted
  readonly header: object
  readonly claims: JWTPayload
}

export function issuerOf(type: (deps: IssuedTokenDeps) => TargetType, config: JsonObject) {
  const { deps, keys, clock } = issuing()
  const target: TargetPolicy = { name: 'down', type: type(deps).type, enabled: true, config }
  const { minting } = type(deps).compile(target)
  if (minting === undefined) throw new Error('it mints nothing')
  const { plan, mint } = minting

  /** A token, verified by an unmodified library with what is published. */
  async function issue(facts: MintFacts): Promise<Issued> {
    const planned = await plan(facts)
    if (!planned.ok) throw new Error(JSON.stringify(planned.failure))
    const minted = await mint(planned.value)
    if (!minted.ok) throw new Error(JSON.stringify(minted.failure))
    const jwks = createLocalJWKSet(JSON.parse(JSON.stringify(await keys.jwks())))
    const { payload, protectedHeader } = await jwtVerify(minted.value.token, jwks, {
      issuer: ISSUER,
      currentDate: new Date(clock.nowMs()),
    })
    return {
      plan: planned.value,
      minted: minted.value,
      header: protectedHeader,
      claims: payload,
    }
  }

  async function refusal(facts: MintFacts): Promise<string> {
    const planned = await plan(facts)
    if (planned.ok) return 'planned'
    const { kind } = planned.failure
    return 'reason' in planned.failure ? `${kind} ${planned.failure.reason}` : kind
  }

  return { issue, plan, refusal, tokenType: minting.tokenType }
}

/** Mistakes of a target of this type, as `path code`. */
export function mistakesOf(
  type: (deps: IssuedTokenDeps) => TargetType,
  target: Partial<TargetPolicy>,
  loopback = false,
): string[] {
  const made = type(issuing(loopback).deps)
  const whole = { name: 'down', type: made.type, enabled: true, config: {}, ...target }
  return made.validate(whole).map(({ path, code }) => `${path} ${code}`)
}
