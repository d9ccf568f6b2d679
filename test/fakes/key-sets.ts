// KeySets over keys in memory, by issuer, trust domain or inline set. Counts what it was asked.
import type { JsonObject } from '../../functions/core/identity.ts'
import { isJsonObject } from '../../functions/core/json.ts'
import { fail, ok } from '../../functions/core/result.ts'
import { importVerificationKey, type VerificationKey } from '../../functions/crypto/jwk.ts'
import { readBundleRoots } from '../../functions/net/bundle-roots.ts'
import { pickKey } from '../../functions/net/key-choice.ts'
import type { KeySets, KeySource } from '../../functions/net/key-sets.ts'

export type FakeKeySets = KeySets & {
  /** Sources that were asked for a key, in order. */
  readonly asked: KeySource[]
  /** JWKs by issuer or trust domain. */
  readonly published: Map<string, readonly JsonObject[]>
  ageSeconds: number
}

export function fakeKeySets(): FakeKeySets {
  const asked: KeySource[] = []
  const published = new Map<string, readonly JsonObject[]>()
  return {
    asked,
    published,
    ageSeconds: 0,
    fetches: 0,
    flush() {},
    async refreshBundles() {},
    async find(source, lookup) {
      asked.push(source)
      const jwks = jwksOf(source, published)
      if (jwks === undefined) return fail({ reason: 'keys_unreachable' })
      if (this.ageSeconds > lookup.maxStaleSeconds) return fail({ reason: 'keys_stale' })
      const picked = pickKey(await imported(jwks), lookup)
      if (picked === 'mismatch') return fail({ reason: 'key_mismatch' })
      if (picked === 'unknown' || picked === 'ambiguous') return fail({ reason: 'unknown_key' })
      return ok({ key: picked, ageSeconds: this.ageSeconds })
    },
    async findRoots(source, lookup) {
      asked.push(source)
      const jwks = published.get(source.trustDomain)
      if (jwks === undefined) return fail({ reason: 'keys_unreachable' })
      if (this.ageSeconds > lookup.maxStaleSeconds) return fail({ reason: 'keys_stale' })
      return ok({ roots: readBundleRoots({ keys: jwks }), ageSeconds: this.ageSeconds })
    },
  }
}

function jwksOf(
  source: KeySource,
  published: ReadonlyMap<string, readonly JsonObject[]>,
): readonly JsonObject[] | undefined {
  if (source.kind === 'inline') {
    return Array.isArray(source.jwks['keys']) ? source.jwks['keys'].filter(isJsonObject) : []
  }
  return published.get(source.kind === 'spiffe_bundle' ? source.trustDomain : source.issuer)
}

async function imported(jwks: readonly JsonObject[]): Promise<readonly VerificationKey[]> {
  const keys = await Promise.all(jwks.map(importVerificationKey))
  return keys.filter((key) => key !== null)
}
