// What bindings grant, united, narrowed and asked. Narrowing never allows an (effect, object) pair
// that the grants before it did not.
import type { Envelope } from './intent.ts'
import { intersectPatterns, objectMatches } from './object-pattern.ts'
import type { BindingPolicy, Effect, Grant, LimitsPolicy, OnReview } from './policy.ts'
import { PROOF_KINDS, type ProofKind } from './proof.ts'
import type { ScopeItem } from './scope.ts'

/**
 * Intersections of overlapping wildcards multiply; beyond this many a grant is cut, which only
 * narrows. Neither a sane policy nor a sane scope comes near.
 */
const MAX_OBJECTS_PER_EFFECT = 1000

/**
 * The grants within `scope` (null: no scope asked for) and within the envelope's effects and
 * objects. Empty when nothing is left. Pass no envelope for a target in `log_only`, which covers
 * the envelope but never the grants (design/api.md, Session states).
 */
export function narrowGrants(
  grants: readonly Grant[],
  scope: readonly ScopeItem[] | null,
  envelope: Envelope | undefined,
): readonly Grant[] {
  const narrowed: Grant[] = []
  for (const grant of grants) {
    const effectsByObjects = new Map<string, { effects: Effect[]; objects: readonly string[] }>()
    // The same of all effects that the scope does not restrict, so it is found once.
    let whole: readonly string[] | null = null
    for (const effect of new Set(grant.effects)) {
      if (envelope?.effects !== undefined && !envelope.effects.includes(effect)) continue
      const asked = intersectAll(grant.objects, askedObjects(scope, effect))
      const isWhole = asked === grant.objects
      const objects: readonly string[] =
        (isWhole ? whole : null) ?? intersectAll(asked, envelope?.objects ?? null)
      if (isWhole) whole = objects
      if (objects.length === 0) continue
      const key = JSON.stringify(objects)
      const same = effectsByObjects.get(key)
      if (same === undefined) effectsByObjects.set(key, { effects: [effect], objects })
      else same.effects.push(effect)
    }
    narrowed.push(...effectsByObjects.values())
  }
  return narrowed
}

/** Grants as what may be asked of others. */
export function asScope(grants: readonly Grant[]): readonly ScopeItem[] {
  return grants.flatMap(({ effects, objects }) =>
    effects.flatMap((effect) => objects.map((object) => ({ effect, object }))),
  )
}

/** The objects `scope` asks for under one effect; null where it does not restrict them. */
function askedObjects(
  scope: readonly ScopeItem[] | null,
  effect: Effect,
): readonly string[] | null {
  if (scope === null) return null
  const objects: string[] = []
  for (const item of scope) {
    if (item.effect !== effect) continue
    if (item.object === null) return null
    objects.push(item.object)
  }
  return objects
}

function intersectAll(
  granted: readonly string[],
  asked: readonly string[] | null,
): readonly string[] {
  if (asked === null) return granted
  const both = new Set<string>()
  for (const left of granted) {
    for (const right of asked) {
      const pattern = intersectPatterns(left, right)
      if (pattern !== null) both.add(pattern)
      if (both.size >= MAX_OBJECTS_PER_EFFECT) return [...both]
    }
  }
  return [...both]
}

/**
 * Whether every effect is granted on every object. An action without effects or without objects was
 * not understood, and nothing grants it.
 */
export function grantsAllow(
  grants: readonly Grant[],
  effects: readonly Effect[],
  objects: readonly string[],
): boolean {
  if (effects.length === 0 || objects.length === 0) return false
  return effects.every((effect) => objects.every((object) => allowsOne(grants, effect, object)))
}

function allowsOne(grants: readonly Grant[], effect: Effect, object: string): boolean {
  return grants.some(
    (grant) =>
      grant.effects.includes(effect) &&
      grant.objects.some((pattern) => objectMatches(pattern, object)),
  )
}

export type UnitedBindings = {
  readonly names: readonly string[]
  readonly grants: readonly Grant[]
  readonly limits: LimitsPolicy
  readonly ttlSeconds: number
  readonly intentPolicies: readonly string[]
  readonly onReview: OnReview
  readonly mode: 'enforce' | 'log_only'
  readonly intentRequired: boolean
  readonly delivery: 'session' | 'credential'
  /** Every kind of proof that any of them asks for. */
  readonly proofs: readonly ProofKind[]
}

/** Strictest first. */
const ON_REVIEW: readonly OnReview[] = ['deny', 'approval', 'allow']
const LIMITS = ['actions', 'writes', 'rows', 'bytes', 'per_minute'] as const

/**
 * Several allow bindings as one ("Several bindings", design/api.md): grants unite, everything else
 * is the strictest that any of them says. What a binding leaves out counts as its default. Without
 * any binding nothing is granted, for no time.
 */
export function uniteBindings(bindings: readonly BindingPolicy[]): UnitedBindings {
  const policies = bindings.flatMap(({ intent }) => intent?.policy ?? [])
  const reviews = bindings.map(({ intent }) => intent?.on_review ?? 'approval')
  const everyOne = (holds: (binding: BindingPolicy) => boolean) =>
    bindings.length > 0 && bindings.every(holds)
  return {
    names: bindings.map(({ name }) => name),
    grants: bindings.flatMap(({ grants }) => grants),
    limits: smallestLimits(bindings.flatMap(({ limits }) => limits ?? [])),
    ttlSeconds: bindings.length === 0 ? 0 : Math.min(...bindings.map((b) => b.ttl_seconds)),
    intentPolicies: [...new Set(policies)],
    onReview: strictestReview(reviews),
    mode: everyOne(({ mode }) => mode === 'log_only') ? 'log_only' : 'enforce',
    intentRequired: bindings.some(({ intent }) => intent?.required === true),
    delivery: everyOne(({ delivery }) => delivery === 'credential') ? 'credential' : 'session',
    proofs: PROOF_KINDS.filter((kind) => bindings.some((b) => b.require_proof === kind)),
  }
}

export function strictestReview(reviews: readonly OnReview[]): OnReview {
  return ON_REVIEW.find((strictest) => reviews.includes(strictest)) ?? 'deny'
}

/** The smallest of each limit; a limit that nobody sets stays absent. */
export function smallestLimits(limits: readonly LimitsPolicy[]): LimitsPolicy {
  const smallest: { -readonly [name in keyof LimitsPolicy]: number } = {}
  for (const name of LIMITS) {
    const values = limits.flatMap((limit) => limit[name] ?? [])
    if (values.length > 0) smallest[name] = Math.min(...values)
  }
  return smallest
}
