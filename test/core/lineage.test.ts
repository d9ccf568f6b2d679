// For random trees of sessions, under random bindings: no descendant ever holds what its parent does not.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Identity } from '../../functions/core/identity.ts'
import { grantsAllow } from '../../functions/core/grants.ts'
import { openBelow } from '../../functions/core/opening-below.ts'
import { openTargets, type OpeningRequest } from '../../functions/core/opening.ts'
import type { BindingPolicy, Effect, Grant, LimitsPolicy } from '../../functions/core/policy.ts'
import type { Session, SessionUsage } from '../../functions/core/session.ts'
import type { Conditions, PolicySnapshot } from '../../functions/core/snapshot.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { openSession } from '../fakes/session.ts'

const NOW = 1_800_000_000
const METHODS = ['root', 'one', 'two'] as const
const TARGETS = ['crm', 'billing'] as const
const EFFECTS: readonly Effect[] = ['read', 'write', 'delete']
const PATTERNS = ['GET /a/*', 'GET /a/b', 'GET /**', 'GET /*/b', 'POST /a', '*'] as const
/** Concrete objects that tell the patterns apart. */
const OBJECTS = ['GET /a/b', 'GET /a/c', 'GET /x/b', 'GET /x/y/z', 'POST /a', 'POST /b', 't.u']
const BUDGETS = ['actions', 'writes', 'rows', 'bytes', 'per_minute'] as const

const conditions: Conditions = {
  load: async () => undefined,
  holds: (expression) => expression === 'true',
  mistake: () => null,
}

const snapshot: PolicySnapshot = {
  revision: 1,
  userMethods: new Set(),
  methodsBySelector: new Map(),
  methods: new Map(METHODS.map((name) => [name, { accepts: () => true }])) as never,
  targets: new Map(
    TARGETS.map((name) => [name, { policy: { name, type: 'http', config: {}, enabled: true } }]),
  ) as never,
  intentPolicies: new Map(),
}

const rarely = <T>(value: T) => ({ weight: 1, arbitrary: fc.constant(value) })
const mostly = <T>(value: T) => ({ weight: 12, arbitrary: fc.constant(value) })
const some = <T>(values: readonly T[]) => fc.subarray([...values], { minLength: 1 })
const limits = fc.record(
  Object.fromEntries(BUDGETS.map((name) => [name, fc.integer({ min: 1, max: 20 })])),
  { requiredKeys: [] },
) as fc.Arbitrary<LimitsPolicy>
const grant: fc.Arbitrary<Grant> = fc.record({ effects: some(EFFECTS), objects: some(PATTERNS) })

const binding: fc.Arbitrary<BindingPolicy> = fc
  .record({
    auth_method: fc.constantFrom(...METHODS, 'root' as const, 'root' as const),
    target: fc.constantFrom(...TARGETS, TARGETS[0]),
    effect: fc.oneof(rarely('deny' as const), mostly('allow' as const)),
    condition: fc.oneof(rarely('false'), mostly('true')),
    grants: fc.array(grant, { minLength: 1, maxLength: 3 }),
    ttl_seconds: fc.integer({ min: 10, max: 600 }),
    delegate_to: fc.oneof({ weight: 1, arbitrary: some(METHODS) }, mostly(METHODS)),
    limits,
    mode: fc.constantFrom('enforce' as const, 'log_only' as const),
  })
  .map((made) => ({ ...made, name: JSON.stringify(made), enabled: true, delivery: 'session' }))

const bindings = fc.array(binding, { minLength: 4, maxLength: 8 })

const step = fc.record({
  /** Which of the sessions so far is the parent. */
  parent: fc.nat(),
  method: fc.constantFrom(...METHODS),
  targets: fc.oneof({ weight: 1, arbitrary: some(TARGETS) }, mostly([TARGETS[0]])),
  scope: fc.option(
    fc.array(
      fc.record({ effect: fc.constantFrom(...EFFECTS), object: fc.constantFrom(...PATTERNS) }),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
    { nil: null, freq: 2 },
  ),
  envelope: limits,
  /** Which of the sessions so far acts by itself meanwhile, and what it spends. */
  spender: fc.nat(),
  usage: fc.record({
    actions: fc.nat(10),
    writes: fc.nat(5),
    rows: fc.nat(10),
    bytes: fc.nat(10),
  }),
  removed: fc.oneof(
    { weight: 1, arbitrary: fc.subarray([...EFFECTS], { maxLength: 2 }) },
    mostly([]),
  ),
  /** The policy may have changed before this one asks. */
  bindings: fc.oneof({ weight: 1, arbitrary: bindings }, mostly(null)),
  wait: fc.nat(20),
  ttl: fc.integer({ min: 1, max: 1000 }),
})

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function asking({ method, targets, scope, envelope, ttl }: Step, now: number): OpeningRequest {
  const identity: Identity = {
    method,
    methodType: 'oidc',
    kind: 'workload',
    subject: 'a',
    claims: {},
    act: null,
    expiresAt: now + ttl,
    attestationHash: '',
    evidence: {},
  }
  const { per_minute: _, ...own } = envelope
  return {
    identity,
    onBehalfOf: null,
    lineage: null,
    parent: null,
    attestations: [identity],
    targets,
    scope,
    intent: { type: 'agent_intent', purpose: method, envelope: { limits: own } },
    requestedType: TOKEN_TYPES.accessToken,
  }
}

type Opened = { readonly session: Session; usage: SessionUsage }

/** Runs the steps; those that are refused open nothing. `onOpened` sees what each has above it by then. */
function grow(
  steps: readonly Step[],
  first: readonly BindingPolicy[],
  onOpened: (session: Session, above: readonly Opened[]) => void = () => undefined,
): readonly Opened[] {
  const sessions: Opened[] = []
  let held = first
  let now = NOW
  for (const [i, one] of steps.entries()) {
    held = one.bindings ?? held
    now += one.wait
    const spender = sessions[one.spender % Math.max(1, sessions.length)]
    if (spender !== undefined) spender.usage = sum(spender.usage, one.usage)
    const parent = sessions.length === 0 ? null : (sessions[one.parent % sessions.length] ?? null)
    const policy = {
      bindings: held.filter(({ auth_method: name }) => parent !== null || name === one.method),
      snapshot,
      conditions,
      now,
      maxDelegationDepth: 4,
    }
    const above = (parent?.session.lineage?.ancestors ?? []).flatMap(
      (id) => sessions.find(({ session }) => session.id === id) ?? [],
    )
    const opened =
      parent === null
        ? openTargets(asking(one, now), policy)
        : openBelow(
            asking(one, now),
            {
              session: { ...parent.session, usage: parent.usage },
              above: above.map(({ session, usage }) => ({ limits: session.limits, usage })),
            },
            policy,
          )
    if (!opened.ok) continue
    const { asked, opening } = opened.value
    const session = openSession({
      id: `ses_${i}`,
      authMethod: one.method,
      claims: {},
      lineage: asked.lineage,
      intent: asked.intent,
      grants: opening.targets,
      limits: opening.limits,
      createdAt: now,
      expiresAt: opening.expiresAt,
      removedEffects: one.removed,
      state: one.removed.length > 0 ? 'narrowed' : 'active',
    })
    onOpened(session, parent === null ? [] : [...above, parent])
    sessions.push({ session, usage: { actions: 0, writes: 0, rows: 0, bytes: 0 } })
  }
  return sessions
}

function sum(one: SessionUsage, other: SessionUsage): SessionUsage {
  return {
    actions: one.actions + other.actions,
    writes: one.writes + other.writes,
    rows: one.rows + other.rows,
    bytes: one.bytes + other.bytes,
  }
}

function expectWithin(child: Session, parent: Session, usage: SessionUsage): void {
  expect(child.expiresAt).toBeLessThanOrEqual(parent.expiresAt)
  for (const { target, grants, mode } of child.grants) {
    const held = parent.grants.find((one) => one.target === target)
    expect(held).toBeDefined()
    if (held?.mode === 'enforce') expect(mode).toBe('enforce')
    for (const effect of EFFECTS) {
      for (const object of OBJECTS) {
        if (!grantsAllow(grants, [effect], [object])) continue
        const isHeld = grantsAllow(held?.grants ?? [], [effect], [object])
        if (!isHeld || parent.removedEffects.includes(effect)) {
          throw new Error(`${effect} on ${object} at ${target} is more than the parent has`)
        }
      }
    }
  }
  for (const name of BUDGETS) {
    const limit = parent.limits[name]
    if (limit === undefined) continue
    const left = name === 'per_minute' ? limit : Math.max(0, limit - usage[name])
    expect(child.limits[name]).toBeLessThanOrEqual(left)
  }
}

describe('a tree of sessions', () => {
  test('RB-05: no descendant ever holds what an ancestor does not', () => {
    let descendants = 0
    fc.assert(
      fc.property(bindings, fc.array(step, { minLength: 2, maxLength: 12 }), (first, steps) => {
        grow(steps, first, (session, above) => {
          expect(above.length).toBeLessThanOrEqual(4)
          for (const ancestor of above) expectWithin(session, ancestor.session, ancestor.usage)
          descendants += above.length
        })
      }),
      { numRuns: 700 },
    )
    // Else nothing was shown.
    expect(descendants).toBeGreaterThan(1000)
  })

  test('every deny of every method of the chain holds at each opening', () => {
    fc.assert(
      fc.property(bindings, fc.array(step, { minLength: 2, maxLength: 8 }), (first, steps) => {
        for (const { session } of grow(
          steps.map((one) => ({ ...one, bindings: null })),
          first,
        )) {
          const chain = [...(session.lineage?.actors ?? []), session]
          for (const { target } of session.grants) {
            const denied = first.filter(
              (one) =>
                one.effect === 'deny' &&
                one.condition === 'true' &&
                one.target === target &&
                chain.some(({ authMethod }) => authMethod === one.auth_method),
            )
            expect(denied).toEqual([])
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
