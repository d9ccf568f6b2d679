// The shape of every policy object (design/api.md, Policy objects), once: parsing, the JSON Schemas and
// the OpenAPI document all come from here. Every object is strict: a member that is not named here is
// refused, so that nothing that looks like a restriction is silently without effect (ADM-3, POL-9).
import * as z from 'zod/mini'
import type { JsonObject } from '../core/identity.ts'
import { MAX_DELEGATION_DEPTH } from '../core/lineage.ts'
import type {
  AuthMethodPolicy,
  BindingPolicy,
  IntentPolicy,
  PolicyKind,
  TargetPolicy,
} from '../core/policy.ts'
import { EFFECTS, MAX_TTL_SECONDS } from '../core/policy.ts'
import { SECRET_REFERENCE } from '../core/secret-source.ts'

// Workers refuse `new Function`; without the just-in-time parser all runtimes take the same path.
z.config({ jitless: true })

export const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/
export const DEFAULT_TTL_SECONDS = 300
/** Google's workload identity federation caps conditions at the same length (POL-5). */
export const MAX_CONDITION_CHARACTERS = 4096
const MAX_GRANTS = 64
const MAX_OBJECTS = 256
const MAX_RULES = 128
const MAX_METHODS = 64
const MAX_JUDGE_MS = 60_000

export const nameSchema = z
  .string()
  .check(
    z.regex(NAME),
    z.meta({ description: 'Lower-case letters, digits and hyphens, at most 63.' }),
  )

function text(maximum: number) {
  return z.string().check(z.minLength(1), z.maxLength(maximum))
}

function list<T extends z.ZodMiniType>(item: T, maximum: number) {
  return z.array(item).check(z.maxLength(maximum))
}

const positive = z.int().check(z.minimum(1))

/** Passed through untouched: its members belong to the type that is named beside it. */
const config = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
)

const common = {
  name: nameSchema,
  description: z.exactOptional(z.string().check(z.maxLength(2000))),
  owner: z.exactOptional(text(256)),
  labels: z.exactOptional(list(text(128), 64)),
  enabled: z._default(z.boolean(), true),
}

const secretReference = z
  .string()
  .check(
    z.regex(SECRET_REFERENCE),
    z.meta({ description: '`sealed:{name}`, `env:{NAME}` and the like (docs/secrets.md).' }),
  )

export const authMethodSchema = z.strictObject({
  ...common,
  type: nameSchema,
  subject: z._default(z.enum(['workload', 'user']), 'workload'),
  config,
})

const credential = z.strictObject({
  inject: z.enum(['bearer', 'basic', 'header', 'query', 'cookie']),
  name: z.exactOptional(text(128)),
  username: z.exactOptional(text(256)),
  secret: secretReference,
})

const maskRule = z.strictObject({
  json_path: z.exactOptional(text(512)),
  pattern: z.exactOptional(text(512)),
  with: z.exactOptional(z.string().check(z.maxLength(256))),
})

export const targetSchema = z.strictObject({
  ...common,
  type: nameSchema,
  config,
  credential: z.exactOptional(credential),
  mask: z.exactOptional(list(maskRule, 128)),
  max_response_bytes: z.exactOptional(positive),
  max_masked_bytes: z.exactOptional(positive),
  private_network: z.exactOptional(z.boolean()),
})

const grant = z.strictObject({
  effects: z.array(z.enum(EFFECTS)).check(z.minLength(1), z.maxLength(EFFECTS.length)),
  objects: list(text(1024), MAX_OBJECTS).check(z.minLength(1)),
})

const limits = z.strictObject({
  actions: z.exactOptional(positive),
  writes: z.exactOptional(positive),
  rows: z.exactOptional(positive),
  bytes: z.exactOptional(positive),
  per_minute: z.exactOptional(positive),
})

/** `2027-01-31` (midnight UTC) or `2027-01-31T12:00:00Z`: a day that exists, never a local time. */
const time = z
  .string()
  .check(z.regex(/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z)?$/), z.refine(isCalendarTime))

function isCalendarTime(value: string): boolean {
  const ms = Date.parse(value)
  // Date.parse rolls 30 February over into March.
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(value.slice(0, 10))
}

const methodNames = list(nameSchema, MAX_METHODS).check(z.minLength(1))

export const bindingSchema = z.strictObject({
  ...common,
  auth_method: nameSchema,
  target: nameSchema,
  effect: z._default(z.enum(['allow', 'deny']), 'allow'),
  condition: z.exactOptional(text(MAX_CONDITION_CHARACTERS)),
  grants: z._default(list(grant, MAX_GRANTS), []),
  ttl_seconds: z._default(
    z.int().check(z.minimum(1), z.maximum(MAX_TTL_SECONDS)),
    DEFAULT_TTL_SECONDS,
  ),
  on_behalf_of: z.exactOptional(methodNames),
  allow_impersonation: z.exactOptional(z.boolean()),
  delegate_to: z.exactOptional(methodNames),
  max_depth: z.exactOptional(positive.check(z.maximum(MAX_DELEGATION_DEPTH))),
  delivery: z._default(z.enum(['session', 'credential']), 'session'),
  may_outlive_subject: z.exactOptional(z.boolean()),
  require_proof: z.exactOptional(z.enum(['none', 'dpop', 'mtls'])),
  intent: z.exactOptional(
    z.strictObject({
      policy: z.exactOptional(nameSchema),
      required: z._default(z.boolean(), false),
      on_review: z._default(z.enum(['approval', 'deny', 'allow']), 'approval'),
    }),
  ),
  limits: z.exactOptional(limits),
  mode: z._default(z.enum(['enforce', 'log_only']), 'enforce'),
  review_by: z.exactOptional(time),
  expires_at: z.exactOptional(time),
})

const evaluator = z.strictObject({
  type: nameSchema,
  url: text(2048),
  model: z.exactOptional(text(256)),
  secret: z.exactOptional(secretReference),
  timeout_ms: z.exactOptional(z.int().check(z.minimum(1), z.maximum(MAX_JUDGE_MS))),
})

const rule = z.strictObject({
  id: z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)),
  text: text(4000),
  effect: z.enum(['deny', 'review']),
})

export const intentPolicySchema = z.strictObject({
  ...common,
  rules: z._default(list(rule, MAX_RULES), []),
  judge: z.exactOptional(evaluator),
  floor: z.exactOptional(evaluator),
})

export const OBJECT_SCHEMAS = {
  auth_methods: authMethodSchema,
  targets: targetSchema,
  bindings: bindingSchema,
  intent_policies: intentPolicySchema,
} as const

/** The order of a document, and of what a plan lists. */
export const POLICY_KINDS = ['auth_methods', 'targets', 'bindings', 'intent_policies'] as const

/** What a schema makes of its input is exactly the type that core/ works with; checked by the compiler. */
type Made = { [K in PolicyKind]: z.infer<(typeof OBJECT_SCHEMAS)[K]> }
type Wanted = {
  auth_methods: AuthMethodPolicy
  targets: TargetPolicy
  bindings: BindingPolicy
  intent_policies: IntentPolicy
}
export type ObjectOf<K extends PolicyKind> = Made[K] extends Wanted[K] ? Wanted[K] : never
