// The policy as this isolate holds it: compiled, keyed by its revision, loaded once however many requests
// wait for it. An object that does not compile is left out and matches nothing (fail closed).
import { type AuthMethodType, type CompiledAuthMethod, selectorKey } from '../core/auth-method.ts'
import type { CompiledEvaluator, EvaluatorType } from '../core/evaluator.ts'
import type {
  AuthMethodPolicy,
  EvaluatorPolicy,
  IntentPolicy,
  PolicyDocument,
  PolicyKind,
  TargetPolicy,
} from '../core/policy.ts'
import type { Clock } from '../core/ports.ts'
import type { CompiledIntentPolicy, PolicySnapshot, PolicySource } from '../core/snapshot.ts'
import type { CompiledTarget } from '../core/target.ts'
import type { Platform } from '../platform.ts'
import type { PolicyObject, PolicyStore } from '../store/contract.ts'
import type { PolicyTypes } from './check.ts'
import { canonicalObject } from './canonical.ts'

/** How often an unknown issuer may cause a read (design/api.md, Which Auth Method). */
const LIMITED_INTERVAL_MS = 1000

export type PolicySourceDeps = {
  readonly store: Pick<PolicyStore, 'readSnapshot' | 'readRevision'>
  readonly types: Pick<PolicyTypes, 'authMethods' | 'targets' | 'evaluators'>
  readonly clock: Clock
  readonly log: Platform['log']
}

export function createPolicySource(deps: PolicySourceDeps): PolicySource {
  const compile = compiler(deps)
  let held: PolicySnapshot | null = null
  const loading = shared(load)
  const refreshing = shared(refreshStored)
  let limitedAt = -Infinity
  /** When a revision was looked for that was not there. */
  let futileAt = -Infinity

  /** Never goes back: a load that was overtaken does not replace what is newer. */
  async function load(): Promise<PolicySnapshot> {
    const { revision, document } = await deps.store.readSnapshot()
    if (held === null || revision > held.revision) held = compile(revision, document)
    return held
  }

  /** Reads the revision, and the policy when it is another one. */
  async function refreshStored(): Promise<PolicySnapshot> {
    const revision = await deps.store.readRevision()
    if (held !== null && held.revision >= revision) return held
    const loaded = await loading.run()
    // The load that was joined may have begun before this revision was written.
    return loaded.revision >= revision ? loaded : loading.run()
  }

  return {
    async current() {
      return held ?? loading.run()
    },

    async refresh(known) {
      if (held !== null && held.revision > known) return held
      const joined = refreshing.isRunning()
      const refreshed = await refreshing.run()
      // A refresh under way may have read the revision before the change that the caller knows of.
      return joined && refreshed.revision <= known ? refreshing.run() : refreshed
    },

    async refreshLimited() {
      const now = deps.clock.nowMs()
      if (held !== null && now - limitedAt < LIMITED_INTERVAL_MS) return held
      limitedAt = now
      return refreshing.run()
    },

    async atLeast(revision) {
      if (held !== null && held.revision >= revision) return held
      const now = deps.clock.nowMs()
      if (held !== null && now - futileAt < LIMITED_INTERVAL_MS) return held
      const refreshed = await this.refresh(revision - 1)
      if (refreshed.revision < revision) futileAt = now
      return refreshed
    },

    noteChange() {
      limitedAt = -Infinity
    },
  }
}

/**
 * How long to wait for what another request began. On Workers it ends with that request, without a word
 * to those who wait; then one of them begins again.
 */
const JOIN_MS = 2000

/** One run of `work` for all who ask while it is under way. */
function shared<T extends object>(work: () => Promise<T>) {
  let running: Promise<T> | null = null
  const run = (): Promise<T> => {
    if (running !== null) return join(running)
    const mine = work().finally(() => {
      if (running === mine) running = null
    })
    running = mine
    return mine
  }
  async function join(other: Promise<T>): Promise<T> {
    const joined = await within(JOIN_MS, other)
    if (joined !== null) return joined
    if (running === other) running = null
    return run()
  }
  return { run, isRunning: () => running !== null }
}

/** What the promise gives, or null when it takes longer. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

type Compile = (revision: number, document: Omit<PolicyDocument, 'bindings'>) => PolicySnapshot

/** Keeps what it compiled, so that a change of one object does not cost the others their caches. */
function compiler(deps: PolicySourceDeps): Compile {
  let kept = new Map<string, unknown>()

  return (revision, document) => {
    const next = new Map<string, unknown>()
    function all<O extends PolicyObject, C>(
      kind: PolicyKind,
      objects: readonly O[],
      compileOne: (object: O) => C | null,
    ): Map<string, C> {
      const compiled = new Map<string, C>()
      for (const object of objects) {
        const key = `${kind} ${canonicalObject(object)}`
        // The key holds the kind and the whole object, so the value is what compileOne made of it.
        const one = (kept.get(key) as C | undefined) ?? attempt(deps, kind, object, compileOne)
        if (one === null) continue
        next.set(key, one)
        compiled.set(object.name, one)
      }
      return compiled
    }

    const methods = all('auth_methods', document.auth_methods.filter(isEnabled), (method) =>
      compileMethod(method, deps.types.authMethods),
    )
    const targetOf = (target: TargetPolicy) => compileTarget(target, deps.types)
    const targets = all('targets', document.targets.filter(isEnabled), targetOf)
    const disabledTargets = all(
      'targets',
      document.targets.filter((target) => !isEnabled(target) && handsOver(target, deps.types)),
      targetOf,
    )
    const intentPolicies = all(
      'intent_policies',
      document.intent_policies.filter(isEnabled),
      (policy) => compileIntentPolicy(policy, deps.types.evaluators),
    )
    kept = next
    const methodsBySelector = bySelector(methods.values())
    const users = document.auth_methods.filter(({ subject }) => subject === 'user')
    const userMethods = new Set(users.map(({ name }) => name))
    return {
      revision,
      methods,
      userMethods,
      methodsBySelector,
      targets,
      disabledTargets,
      intentPolicies,
    }
  }
}

function isEnabled({ enabled }: PolicyObject): boolean {
  return enabled
}

function handsOver({ type }: TargetPolicy, { targets }: Pick<PolicyTypes, 'targets'>): boolean {
  return targets.some((one) => one.type === type && one.delivery === 'credential')
}

function attempt<O extends PolicyObject, C>(
  deps: PolicySourceDeps,
  kind: PolicyKind,
  object: O,
  compileOne: (object: O) => C | null,
): C | null {
  const facts = { kind, name: object.name }
  try {
    const compiled = compileOne(object)
    if (compiled === null)
      deps.log('error', 'a stored policy object is not valid; it is left out', facts)
    return compiled
  } catch (cause) {
    deps.log('error', 'a stored policy object does not compile; it is left out', {
      ...facts,
      cause,
    })
    return null
  }
}

function compileMethod(
  method: AuthMethodPolicy,
  types: readonly AuthMethodType[],
): CompiledAuthMethod | null {
  const type = types.find((candidate) => candidate.type === method.type)
  return type === undefined || type.validate(method).length > 0 ? null : type.compile(method)
}

function compileTarget(
  target: TargetPolicy,
  types: Pick<PolicyTypes, 'targets'>,
): CompiledTarget | null {
  const type = types.targets.find((candidate) => candidate.type === target.type)
  return type === undefined || type.validate(target).length > 0 ? null : type.compile(target)
}

/** With a judge or floor that does not compile the whole policy is left out: it would allow too much. */
function compileIntentPolicy(
  policy: IntentPolicy,
  types: readonly EvaluatorType[],
): CompiledIntentPolicy | null {
  const floor = compileEvaluator(policy.floor, types)
  const judge = compileEvaluator(policy.judge, types)
  return floor === undefined || judge === undefined ? null : { policy, floor, judge }
}

/** Null when there is none, undefined when there is one and it is not valid. */
function compileEvaluator(
  policy: EvaluatorPolicy | undefined,
  types: readonly EvaluatorType[],
): CompiledEvaluator | null | undefined {
  if (policy === undefined) return null
  const type = types.find((candidate) => candidate.type === policy.type)
  return type === undefined || type.validate(policy).length > 0 ? undefined : type.compile(policy)
}

function bySelector(methods: Iterable<CompiledAuthMethod>): Map<string, CompiledAuthMethod[]> {
  const methodsBySelector = new Map<string, CompiledAuthMethod[]>()
  for (const method of methods) append(methodsBySelector, selectorKey(method.selector), method)
  return methodsBySelector
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [item])
  else list.push(item)
}
