// What a policy must satisfy beyond the shape of its objects: types know their configuration, references
// lead somewhere, names are unique, secrets go only where they may. All mistakes at once.
import type { AuthMethodType } from '../core/auth-method.ts'
import type { EvaluatorType } from '../core/evaluator.ts'
import type {
  DocumentError,
  EvaluatorPolicy,
  IntentPolicy,
  PolicyDocument,
  PolicyKind,
} from '../core/policy.ts'
import type { Conditions } from '../core/snapshot.ts'
import type { TargetType } from '../core/target.ts'
import type { PolicyObject } from '../store/contract.ts'
import { ADMIN_TARGET } from './admin-target.ts'
import type { Surroundings } from './check-binding.ts'
import { bindingMistakes } from './check-binding.ts'
import type { SecretOrigins } from './check-secrets.ts'
import { lookUpTogether, secretMistakes, withMemory } from './check-secrets.ts'
import type { ReadDocument } from './parse.ts'
import { perKind, readPolicyDocument } from './parse.ts'
import { below, pointer, withoutRepetition } from './pointer.ts'
import type { ObjectOf } from './schema.ts'
import { POLICY_KINDS } from './schema.ts'
import { originOf } from './secret-uses.ts'

export type PolicyTypes = {
  readonly authMethods: readonly AuthMethodType[]
  readonly targets: readonly TargetType[]
  readonly evaluators: readonly EvaluatorType[]
  readonly conditions: Conditions
  /** Where a secret may be sent (`any`: with what names it), or why there is none that can be. */
  readonly secretAllowedOrigins: (
    reference: string,
    /** Only an admin has a source outside of the broker asked. */
    asker?: 'admin' | 'other',
  ) => Promise<SecretOrigins>
  /** The broker's own origin: it never authenticates its own tokens. */
  readonly issuer: string
}

/** Names with a meaning of their own. `admin:…` is how the log names administrators. */
const RESERVED: Readonly<Partial<Record<PolicyKind, readonly string[]>>> = {
  targets: [ADMIN_TARGET],
  auth_methods: ['admin', 'admin-token'],
}

/** Mistakes of a document that was parsed; empty when it may be applied. */
export async function checkPolicy(
  document: PolicyDocument,
  types: PolicyTypes,
): Promise<DocumentError[]> {
  const places = perKind((kind) => document[kind].map((_, i) => i))
  return checkRead({ document, places, unreadable: perKind(() => new Set()), errors: [] }, types)
}

/**
 * Parses and checks: what cannot be read does not hide the mistakes of the rest. References may also
 * lead to what is `kept` of the stored policy besides the document.
 */
export async function validatePolicyDocument(
  value: unknown,
  types: PolicyTypes,
  kept: Omit<PolicyDocument, 'bindings'> | null,
): Promise<{ readonly document: PolicyDocument; readonly errors: readonly DocumentError[] }> {
  const read = readPolicyDocument(value)
  const errors = [...read.errors, ...(await checkRead(read, types, kept))]
  return { document: read.document, errors }
}

/** Mistakes of one object among those that are stored; paths are relative to it. */
export async function checkObject(
  kind: PolicyKind,
  object: PolicyObject,
  stored: Omit<PolicyDocument, 'bindings'>,
  types: PolicyTypes,
): Promise<DocumentError[]> {
  if (kind === 'bindings') await types.conditions.load([object as ObjectOf<'bindings'>])
  return objectMistakes(kind, object, surroundingsOf([stored]), withMemory(types))
}

async function checkRead(
  read: ReadDocument,
  types: PolicyTypes,
  kept: Omit<PolicyDocument, 'bindings'> | null = null,
): Promise<DocumentError[]> {
  const around = surroundingsOf([kept ?? NOTHING, read.document], read.unreadable)
  const remembering = withMemory(types)
  await types.conditions.load(read.document.bindings)
  await lookUpTogether(read.document, remembering)
  const errors: DocumentError[] = []
  for (const kind of POLICY_KINDS) {
    errors.push(...duplicateNames(kind, read))
    for (const [i, object] of read.document[kind].entries()) {
      const mistakes = await objectMistakes(kind, object, around, remembering)
      errors.push(...below(pointer(kind, read.places[kind][i] ?? i), mistakes))
    }
  }
  return errors
}

const NOTHING = { auth_methods: [], targets: [], intent_policies: [] } as const

/** Of two objects of one name the later counts. */
function surroundingsOf(
  documents: readonly Omit<PolicyDocument, 'bindings'>[],
  unreadable?: ReadDocument['unreadable'],
): Surroundings {
  const names = (kind: 'auth_methods' | 'intent_policies') =>
    new Set([
      ...documents.flatMap((document) => document[kind].map((object) => object.name)),
      ...(unreadable?.[kind] ?? []),
    ])
  return {
    authMethods: names('auth_methods'),
    intentPolicies: names('intent_policies'),
    subjects: new Map(
      documents.flatMap(({ auth_methods }) => auth_methods).map((one) => [one.name, one.subject]),
    ),
    targets: new Map(
      documents.flatMap((document) => document.targets).map((target) => [target.name, target]),
    ),
    unreadableTargets: unreadable?.targets ?? new Set(),
  }
}

/** Unique under NFKC and case folding, whatever the pattern of names allows (POL-7). */
function duplicateNames(kind: PolicyKind, read: ReadDocument): DocumentError[] {
  const seen = new Set<string>()
  return read.document[kind].flatMap((object, i) => {
    const folded = object.name.normalize('NFKC').toUpperCase().toLowerCase()
    if (!seen.has(folded)) {
      seen.add(folded)
      return []
    }
    const path = pointer(kind, read.places[kind][i] ?? i, 'name')
    return [{ path, code: 'duplicate', message: `"${object.name}" stands here twice` }]
  })
}

type OwnChecks = {
  readonly [K in PolicyKind]: (
    object: ObjectOf<K>,
    around: Surroundings,
    types: PolicyTypes,
  ) => readonly DocumentError[] | Promise<readonly DocumentError[]>
}

const OWN_CHECKS: OwnChecks = {
  auth_methods: (method, _, types) => [
    ...ownIssuer(method.config['issuer'], types.issuer),
    ...typeMistakes(method, types.authMethods),
  ],
  targets: (target, _, types) => typeMistakes(target, types.targets),
  bindings: (binding, around, types) => bindingMistakes(binding, around, types),
  intent_policies: (policy, _, types) => [
    ...ruleMistakes(policy),
    ...evaluatorMistakes('/judge', policy.judge, types),
    ...evaluatorMistakes('/floor', policy.floor, types),
  ],
}

async function objectMistakes(
  kind: PolicyKind,
  object: PolicyObject,
  around: Surroundings,
  types: PolicyTypes,
): Promise<DocumentError[]> {
  const reserved = RESERVED[kind]?.includes(object.name) === true
  // The caller gives an object of `kind`; a union of functions cannot say so.
  const check = OWN_CHECKS[kind] as (
    ...args: readonly unknown[]
  ) => readonly DocumentError[] | Promise<readonly DocumentError[]>
  return withoutRepetition([
    ...(reserved
      ? [{ path: '/name', code: 'reserved', message: `"${object.name}" is built in` }]
      : []),
    ...(await check(object, around, types)),
    ...(await secretMistakes(kind, object, types)),
  ])
}

/** What the type that an object names has against it. */
function typeMistakes<O extends { readonly type: string }>(
  object: O,
  known: readonly {
    readonly type: string
    validate(object: O): readonly DocumentError[]
  }[],
): readonly DocumentError[] {
  const type = known.find((candidate) => candidate.type === object.type)
  return type === undefined ? [unknownType('', known)] : type.validate(object)
}

function evaluatorMistakes(
  path: '/judge' | '/floor',
  policy: EvaluatorPolicy | undefined,
  types: PolicyTypes,
): DocumentError[] {
  if (policy === undefined) return []
  if (path === '/floor' && policy.type !== 'authzen')
    return [{ path: '/floor/type', code: 'value', message: 'a floor speaks authzen' }]
  return below(path, typeMistakes(policy, types.evaluators))
}

function unknownType(path: string, known: readonly { readonly type: string }[]): DocumentError {
  const names = known.map(({ type }) => type).join(', ')
  return { path: `${path}/type`, code: 'unknown_type', message: `must be one of ${names}` }
}

/** A handle that bought a handle would never expire (design/api.md: the broker refuses its own issuers). */
function ownIssuer(issuer: unknown, own: string): DocumentError[] {
  if (originOf(issuer) === null || originOf(issuer) !== originOf(own)) return []
  return [{ path: '/config/issuer', code: 'unsafe', message: 'must not be this broker' }]
}

function ruleMistakes(policy: IntentPolicy): DocumentError[] {
  const seen = new Set<string>()
  return policy.rules.flatMap((rule, i) => {
    if (!seen.has(rule.id)) {
      seen.add(rule.id)
      return []
    }
    return [
      {
        path: pointer('rules', i, 'id'),
        code: 'duplicate',
        message: `"${rule.id}" stands here twice`,
      },
    ]
  })
}
