// Holds a config to the row of presets.ts that it names: what it must pin, what it may not say, and what
// is added to its `match`. Nothing here ever widens what the plain rules allow.
import type { ClaimMatcher } from '../core/policy.ts'
import type { ConfigReader, Mistake } from '../policy/config-reader.ts'
import type { MatchRules } from './jwt-config.ts'
import { PRESETS, type Preset } from './presets.ts'
import { rootClaim, setsApart, tenantPinMistake, valuesOf } from './shared-issuers.ts'

export function readPreset(reader: ConfigReader): Preset | undefined {
  const name = reader.text('preset', presetMistake)
  return PRESETS.find((preset) => preset.name === name)
}

function presetMistake(name: string): Mistake | null {
  if (PRESETS.some((preset) => preset.name === name)) return null
  return { code: 'value', message: `must be one of ${PRESETS.map((one) => one.name).join(', ')}` }
}

type Settings = {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly match: MatchRules
}

/** `match` with what the preset adds to it; every mistake against the preset is noted. */
export function presetMatch(reader: ConfigReader, preset: Preset, settings: Settings): MatchRules {
  const parts = issuerParts(preset, settings.issuer)
  if (parts === null) {
    const message = `must be ${(preset.issuers ?? []).join(' or ')} for ${preset.name}`
    reader.note({ code: 'value', message }, 'issuer')
    return settings.match
  }
  noteForeignAudiences(reader, preset, settings.audiences, parts)
  noteTexts(reader, preset, settings.match)
  const match = [...settings.match, ...additions(preset, settings.match, parts)]
  const unpinned = pinMistake(preset, match)
  if (unpinned !== null) reader.note({ code: 'unsafe', message: unpinned }, 'match')
  return match
}

function pinMistake({ platform, tenants }: Preset, match: MatchRules): string | null {
  if (tenants !== 'any') return tenantPinMistake({ platform, tenants }, match)
  return setsApart(match) ? null : 'must name what sets these users and devices apart'
}

/** A value fixed by the issuer holds besides whatever `match` says of the claim. */
function additions(
  { claims = {}, alongside = {}, fromIssuer = {} }: Preset,
  match: MatchRules,
  parts: Parts,
): MatchRules {
  const isNamed = (claim: string): boolean => match.some(([name]) => name === claim)
  const defaults: (readonly [string, ClaimMatcher])[] = Object.entries(claims)
  for (const [claim, others] of Object.entries(alongside)) {
    if (match.some(([name]) => rootClaim(name) === claim)) defaults.push(...Object.entries(others))
  }
  return [
    ...defaults.filter(([claim]) => !isNamed(claim)),
    ...Object.entries(fromIssuer).map(([claim, part]) => [claim, parts.get(part) ?? ''] as const),
  ]
}

/** Such a matcher would match nothing, ever: better told when it is saved. */
function noteTexts(reader: ConfigReader, { texts = [] }: Preset, match: MatchRules): void {
  for (const [claim, matcher] of match) {
    if (!texts.includes(claim)) continue
    if (valuesOf(matcher).every((value) => typeof value === 'string')) continue
    reader.note({ code: 'type', message: 'is a text on this platform' }, 'match', claim)
  }
}

function noteForeignAudiences(
  reader: ConfigReader,
  preset: Preset,
  audiences: readonly string[],
  parts: Parts,
): void {
  const foreign = (preset.foreignAudiences ?? []).flatMap((form) => filledIn(form, parts))
  for (const [i, audience] of audiences.entries()) {
    if (!foreign.some((other) => audience === other || audience.startsWith(`${other}/`))) continue
    const message = `is an audience that ${preset.platform} uses for others; use one of this broker`
    reader.note({ code: 'unsafe', message }, 'audiences', i)
  }
}

function filledIn(form: string, parts: Parts): readonly string[] {
  const [before = '', name, after = ''] = form.split(PLACEHOLDER)
  if (name === undefined) return [form]
  const part = parts.get(name)
  return part === undefined ? [] : [`${before}${part}${after}`]
}

type Parts = ReadonlyMap<string, string>

const PLACEHOLDER = /\{([^}]*)\}/
const KINDS: Readonly<Record<string, string>> = {
  label: '[A-Za-z0-9_-]+',
  host: '[a-z0-9.-]+(?::[0-9]+)?',
  uuid: '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}',
}

/** The named parts of the issuer by the first form that it has, or null when it has none. */
function issuerParts({ issuers }: Preset, issuer: string): Parts | null {
  if (issuers === undefined) return new Map()
  for (const form of issuers) {
    const names: string[] = []
    const pattern = form.split(PLACEHOLDER).map((text, i) => {
      if (i % 2 === 0) return text.replaceAll('.', '\\.')
      const [name = '', kind = 'label'] = text.split(':')
      names.push(name)
      return `(${KINDS[kind] ?? ''})`
    })
    const found = new RegExp(`^${pattern.join('')}$`).exec(issuer)
    if (found !== null) return new Map(names.map((name, i) => [name, found[i + 1] ?? '']))
  }
  return null
}
