// `origin` of an Auth Method: which of its tokens prove that a schedule started what they stand for, and
// what they say of the task that it runs. A token that does not prove it attests no origin at all.
import { claimAt, claimMatches, claimNameMistake, isPlainText } from '../core/claim-match.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import type { ClaimMatcher } from '../core/policy.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import { type MatchRules, readMatch } from './jwt-config.ts'

/** By what it says of the definition of the task: the name of a claim, or what the policy says itself. */
type Part = string | { readonly value: string }
export type Definition = {
  readonly name?: Part
  readonly version?: Part
  readonly hash?: Part
}

export type OriginRules = {
  /** All of these claims; with none, every token of the method. */
  readonly when: MatchRules
  /** Names the run. */
  readonly idClaim: string | undefined
  readonly definition: Definition
}

/** The same as a preset has it. */
export type OriginPreset = {
  readonly when: Readonly<Record<string, ClaimMatcher>>
  readonly idClaim: string
  readonly definition: Readonly<Record<(typeof DEFINITION)[number], string>>
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

function readDefinition(reader: ConfigReader): Definition {
  const value = reader.get('definition')
  if (value === undefined) return {}
  const inner = readerOf(value, 'definition', reader)
  if (inner === null) return {}
  inner.allowOnly(DEFINITION)
  const parts = DEFINITION.flatMap((name) => {
    const part = readPart(inner, name)
    return part === undefined ? [] : [[name, part] as const]
  })
  reader.adopt(inner, 'definition')
  return Object.fromEntries(parts)
}

/** Where no token says it (a CronJob, a scheduler of a cloud), whoever deploys the task may. */
function readPart(reader: ConfigReader, name: string): Part | undefined {
  const given = reader.get(name)
  if (!isJsonObject(given ?? null)) return reader.text(name, claimMistake)
  const inner = new ConfigReader(given as JsonObject) // isJsonObject held
  inner.allowOnly(['value'])
  const value = inner.requiredText('value', valueMistake)
  reader.adopt(inner, name)
  return { value }
}

function valueMistake(text: string): Mistake | null {
  if (text !== '' && text.length <= MAX_VALUE && isPlainText(text)) return null
  const message = `must have 1 to ${MAX_VALUE} characters, no control characters`
  return { code: 'format', message }
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
  const { definition: rule } = rules
  const definition = Object.fromEntries(
    DEFINITION.flatMap((name) => {
      const part = rule[name]
      const text = typeof part === 'object' ? part.value : textAt(claims, part)
      return text === undefined ? [] : [[name, text]]
    }),
  )
  // The token does not say this, so the log does not let it pass for its word.
  const byPolicy = DEFINITION.filter((name) => typeof rule[name] === 'object')
  return {
    kind: KIND,
    ...(id === undefined ? {} : { id }),
    ...(Object.keys(definition).length === 0 ? {} : { definition }),
    ...(byPolicy.length === 0 ? {} : { definition_by_policy: byPolicy }),
  }
}

function textAt(claims: JsonObject, claim: string | undefined): string | undefined {
  const value = claim === undefined ? undefined : claimAt(claims, claim)
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' && value.length <= MAX_VALUE ? value : undefined
}
