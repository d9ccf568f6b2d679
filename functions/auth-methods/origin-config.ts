// `origin` of an Auth Method: which of its tokens prove that a schedule started what they stand for, and
// what they say of the task that it runs. A token that does not prove it attests no origin at all.
import { claimAt, claimMatches, claimNameMistake } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { ClaimMatcher } from '../core/policy.ts'
import { ConfigReader, type Mistake } from './config-reader.ts'
import { type MatchRules, readMatch } from './jwt-config.ts'

/** Names of claims, by what they say of the definition of the task. */
export type DefinitionClaims = {
  readonly name?: string
  readonly version?: string
  readonly hash?: string
}

export type OriginRules = {
  /** All of these claims; with none, every token of the method. */
  readonly when: MatchRules
  /** Names the run. */
  readonly idClaim: string | undefined
  readonly definition: DefinitionClaims
}

/** The same as a preset has it. */
export type OriginPreset = {
  readonly when: Readonly<Record<string, ClaimMatcher>>
  readonly idClaim: string
  readonly definition: DefinitionClaims
}

const KIND = 'schedule'
const DEFINITION = ['name', 'version', 'hash'] as const
const MAX_VALUE = 2048

export function readOrigin(reader: ConfigReader): OriginRules | null {
  const value = reader.get('origin')
  if (value === undefined) return null
  const inner = readerOf(value, 'origin', reader)
  if (inner === null) return null
  inner.allowOnly(['kind', 'when', 'id_claim', 'definition'])
  inner.requiredText('kind', (kind) =>
    kind === KIND ? null : { code: 'value', message: `must be ${KIND}` },
  )
  const rules = {
    when: readMatch(inner, 'when'),
    idClaim: inner.text('id_claim', claimMistake),
    definition: readDefinition(inner),
  }
  reader.adopt(inner, 'origin')
  return rules
}

function readDefinition(reader: ConfigReader): DefinitionClaims {
  const value = reader.get('definition')
  if (value === undefined) return {}
  const inner = readerOf(value, 'definition', reader)
  if (inner === null) return {}
  inner.allowOnly(DEFINITION)
  const claims = DEFINITION.flatMap((part) => {
    const claim = inner.text(part, claimMistake)
    return claim === undefined ? [] : [[part, claim] as const]
  })
  reader.adopt(inner, 'definition')
  return Object.fromEntries(claims)
}

function readerOf(value: JsonValue, member: string, reader: ConfigReader): ConfigReader | null {
  if (isJsonObject(value)) return new ConfigReader(value)
  reader.note({ code: 'type', message: 'must be of type object' }, member)
  return null
}

function claimMistake(name: string): Mistake | null {
  return claimNameMistake(name)
}

export function presetOrigin({ when, idClaim, definition }: OriginPreset): OriginRules {
  return { when: Object.entries(when), idClaim, definition }
}

/** What verified claims prove of the origin; undefined: nothing. */
export function originOf(rules: OriginRules | null, claims: JsonObject): JsonObject | undefined {
  if (rules === null) return undefined
  if (!rules.when.every(([name, matcher]) => claimMatches(claims, name, matcher))) return undefined
  const id = textAt(claims, rules.idClaim)
  const definition = Object.fromEntries(
    DEFINITION.flatMap((part) => {
      const text = textAt(claims, rules.definition[part])
      return text === undefined ? [] : [[part, text]]
    }),
  )
  return {
    kind: KIND,
    ...(id === undefined ? {} : { id }),
    ...(Object.keys(definition).length === 0 ? {} : { definition }),
  }
}

function textAt(claims: JsonObject, claim: string | undefined): string | undefined {
  const value = claim === undefined ? undefined : claimAt(claims, claim)
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' && value.length <= MAX_VALUE ? value : undefined
}
