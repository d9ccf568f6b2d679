// C2SP Wycheproof, JSON Web Signature, Key and Crypto. Valid vectors that are refused must be listed
// here with the rule they fall under; anything else is a bug in one direction or the other.
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../functions/core/identity.ts'
import { isJsonObject } from '../../functions/core/json.ts'
import { importVerificationKey, splitCompactJws } from '../../functions/crypto/jws.ts'

const folder = new URL('../../../shared/vectors/wycheproof/', import.meta.url)
const isThere = existsSync(folder)

type Vector = {
  readonly tcId: number
  readonly comment: string
  readonly result: 'valid' | 'invalid'
  readonly jws?: JsonValue
}
type Group = {
  readonly comment: string
  readonly public?: JsonObject
  readonly private: JsonObject
  readonly tests: readonly Vector[]
}

function groupsOf(file: string): readonly Group[] {
  const text = readFileSync(new URL(file, folder), 'utf8')
  return (JSON.parse(text) as { testGroups: readonly Group[] }).testGroups
}

/** As a verifier does: the key by `kid` where there is a set, and the token's `alg` to choose with. */
async function accepts(group: Group, jws: JsonValue | undefined): Promise<boolean> {
  const parts = typeof jws === 'string' ? splitCompactJws(jws) : null
  if (parts === null || !parts.ok) return false
  const { header, signingInput, signature } = parts.value
  const given = group.public ?? group.private
  const jwks = (Array.isArray(given.keys) ? given.keys : [given]) as readonly JsonObject[]
  const named = jwks.filter((jwk) => isJsonObject(jwk) && jwk.kid === header.kid)
  const [jwk] = jwks.length === 1 ? jwks : named
  if (jwk === undefined || named.length > 1 || typeof header.alg !== 'string') return false
  const key = await importVerificationKey(jwk)
  return key !== null && key.verify(header.alg, signingInput, signature)
}

/** Why a vector that Wycheproof calls valid is refused here. */
function ruleAgainst(group: Group, vector: Vector): string | null {
  const keys = Array.isArray(group.private.keys) ? group.private.keys : [group.private]
  if (keys.every((key) => isJsonObject(key) && key.kty === 'oct')) return 'symmetric'
  if (typeof vector.jws !== 'string') return 'json serialisation'
  if (vector.comment === 'emptyPayload') return 'empty payload'
  const { alg: keyAlg } = group.public ?? {}
  const header = vector.jws.split('.')[0] ?? ''
  const { alg } = JSON.parse(Buffer.from(header, 'base64url').toString()) as JsonObject
  return keyAlg !== undefined && keyAlg !== alg ? 'key names another algorithm' : null
}

async function run(file: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const count = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1
  }
  const wrong: string[] = []
  for (const group of groupsOf(file)) {
    for (const vector of group.tests) {
      if (vector.jws === undefined) continue
      const isAccepted = await accepts(group, vector.jws)
      const rule = vector.result === 'valid' ? ruleAgainst(group, vector) : null
      if (isAccepted !== (vector.result === 'valid' && rule === null)) {
        wrong.push(`${group.comment} ${vector.tcId} ${vector.comment}: accepted ${isAccepted}`)
      }
      if (vector.result === 'invalid') count('invalid, refused')
      else count(rule === null ? 'valid, accepted' : `valid, refused: ${rule}`)
    }
  }
  expect(wrong).toEqual([])
  return counts
}

// In CI an absent folder is a failure, elsewhere a test skipped by name.
describe.skipIf(!isThere && process.env.CI === undefined)('AUTH-3: Wycheproof', () => {
  it('json_web_signature_test.json: verifies what is valid, refuses what is not', async () => {
    expect(await run('json_web_signature_test.json')).toMatchInlineSnapshot(`
      {
        "invalid, refused": 355,
        "valid, accepted": 26,
        "valid, refused: empty payload": 6,
        "valid, refused: key names another algorithm": 4,
        "valid, refused: symmetric": 10,
      }
    `)
  })

  it('json_web_key_test.json: takes no weak, mixed, ambiguous or contradictory key', async () => {
    expect(await run('json_web_key_test.json')).toMatchInlineSnapshot(`
      {
        "invalid, refused": 21,
        "valid, accepted": 1,
        "valid, refused: symmetric": 4,
      }
    `)
  })

  it('json_web_crypto_test.json: the signatures among them', async () => {
    expect(await run('json_web_crypto_test.json')).toMatchInlineSnapshot(`
      {
        "invalid, refused": 45,
        "valid, accepted": 2,
        "valid, refused: symmetric": 2,
      }
    `)
  })
})
