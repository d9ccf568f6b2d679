// A method that asks somebody, on the real transport of Node: with servers on the loopback, secrets in
// memory, a clock that stands.
import { createHash } from 'node:crypto'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import type { AuthMethodDeps } from '../../functions/auth-methods/jwt.ts'
import type { CompiledAuthMethod } from '../../functions/core/auth-method.ts'
import type { Secret } from '../../functions/core/credential.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import { fail, ok } from '../../functions/core/result.ts'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import { fakeKeySets } from '../fakes/key-sets.ts'
import { NOW, OWN, BROKER } from './setup.ts'

export type AuthorityWorld = {
  readonly deps: AuthMethodDeps
  /** By reference: value, and origins it may go to (null: wherever it is named for). */
  readonly secrets: Map<string, Secret>
  now: number
  compiled(type: string, config: JsonObject): CompiledAuthMethod
  mistakes(type: string, config: JsonObject): readonly string[]
}

export function authorityWorld(changes: Partial<AuthMethodDeps> = {}): AuthorityWorld {
  const secrets = new Map<string, Secret>()
  const world = { secrets, now: NOW }
  const deps: AuthMethodDeps = {
    keySets: fakeKeySets(),
    clock: { nowSeconds: () => world.now, nowMs: () => world.now * 1000 },
    hashing: { sha256Hex: (text) => createHash('sha256').update(text).digest('hex') },
    reach: { privateNetwork: false, loopback: true },
    ownIssuers: OWN,
    issuer: BROKER,
    outbound: createNodeOutbound(),
    secrets: async (reference) => {
      const secret = secrets.get(reference)
      return secret === undefined ? fail({ reason: 'not_found', reference }) : ok(secret)
    },
    canTrustOwnCa: true,
    ...changes,
  }
  const typeOf = (name: string) => {
    const type = createAuthMethodTypes(deps).find((candidate) => candidate.type === name)
    if (type === undefined) throw new Error(name)
    return type
  }
  const policy = (type: string, config: JsonObject) =>
    ({ name: 'method-1', enabled: true, type, subject: 'workload', config }) as const
  return Object.assign(world, {
    deps,
    compiled: (type: string, config: JsonObject) => typeOf(type).compile(policy(type, config)),
    mistakes: (type: string, config: JsonObject) =>
      typeOf(type)
        .validate(policy(type, config))
        .map(({ path, code }) => `${path} ${code}`),
  })
}
