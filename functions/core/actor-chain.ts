// The `act` chain of a verified token (RFC 8693 §4.1). Only the outermost actor counts for access;
// earlier ones are carried and logged, never trusted (AC-02, C10). Depth is capped (AC-06).
import type { JsonObject, JsonValue } from './identity.ts'
import { MAX_DELEGATION_DEPTH } from './lineage.ts'
import { fail, ok, type Result } from './result.ts'

/** Levels of `act` that are read at all; how many are carried, the deployment says (delegation.ts). */
const MAX_ACTORS_READ = MAX_DELEGATION_DEPTH + 1

export type ActorChain = {
  /** Claims on which conditions and matchers may look: `act` without what is nested in it. */
  readonly claims: JsonObject
  /** The whole chain, identity claims only; null when the token has no actor. */
  readonly act: JsonObject | null
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Identity claims of one actor. `exp`, `nbf` and `aud` mean nothing inside `act` (AC-01). */
function actorIdentity(act: JsonObject): JsonObject {
  return {
    ...(typeof act['sub'] === 'string' ? { sub: act['sub'] } : {}),
    ...(typeof act['iss'] === 'string' ? { iss: act['iss'] } : {}),
    ...(typeof act['client_id'] === 'string' ? { client_id: act['client_id'] } : {}),
  }
}

function nest(levels: readonly JsonObject[]): JsonObject | null {
  return levels.reduceRight<JsonObject | null>(
    (inner, level) => (inner === null ? level : { ...level, act: inner }),
    null,
  )
}

/** Splits the verified claims; fails when the chain is too deep or is not made of objects with a `sub`. */
export function actorChain(claims: JsonObject): Result<ActorChain, 'malformed'> {
  const outermost = claims['act']
  if (outermost === undefined) return ok({ claims, act: null })
  const levels: JsonObject[] = []
  let level: JsonValue | undefined = outermost
  while (level !== undefined) {
    if (!isObject(level) || typeof level['sub'] !== 'string' || levels.length === MAX_ACTORS_READ) {
      return fail('malformed')
    }
    levels.push(actorIdentity(level))
    level = level['act']
  }
  const { act: _nested, ...visible } = outermost as JsonObject // isObject held for the first level above
  return ok({ claims: { ...claims, act: visible }, act: nest(levels) })
}
