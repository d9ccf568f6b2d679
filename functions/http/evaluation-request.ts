// The request of an AuthZEN evaluation, parsed once. What AuthZEN requires must be there; members
// that nobody knows are ignored; what bears on the verdict (intent, rules, time) is read strictly.
import type { AccessRequest } from '../core/access-evaluation.ts'
import type { Failure } from '../core/failure.ts'
import { isJsonObject } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { AgentIntent, HistoryEntry } from '../core/intent.ts'
import { parseAgentIntent } from '../core/intent-parse.ts'
import type { IntentRule } from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'

const MAX_RULES = 100
const MAX_RULE_CHARACTERS = 4_000
const MAX_HISTORY = 200
const MAX_LABELS = 100
/** RFC 3339 with a zone; Date.parse alone would take local times and much else. */
const RFC_3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/

/** Parses one evaluation; `parameter` of a failure names the member to mend. */
export function parseAccessRequest(body: JsonValue, now: Seconds): Result<AccessRequest, Failure> {
  if (!isJsonObject(body)) return wrong('body')
  const { subject, action, resource } = body
  if (!isJsonObject(subject) || !isText(subject['type']) || !isText(subject['id'])) {
    return wrong('subject')
  }
  if (!isJsonObject(action) || !isText(action['name'])) return wrong('action')
  if (!isJsonObject(resource) || !isText(resource['type']) || !isText(resource['id'])) {
    return wrong('resource')
  }
  const context = body['context'] ?? {}
  if (!isJsonObject(context)) return wrong('context')
  const properties = [subject, action, resource].map((one) => one['properties'] ?? {})
  const [ofSubject, ofAction, ofResource] = properties
  if (!isJsonObject(ofSubject)) return wrong('subject.properties')
  if (!isJsonObject(ofAction)) return wrong('action.properties')
  if (!isJsonObject(ofResource)) return wrong('resource.properties')
  return withContext(context, ofSubject['agent'], now, {
    subject: {
      id: subject['id'],
      authMethod: textOr(ofSubject['auth_method'], null),
      claims: isJsonObject(ofSubject['claims']) ? ofSubject['claims'] : {},
    },
    action: { name: action['name'], properties: ofAction },
    resource: {
      type: resource['type'],
      id: resource['id'],
      labels: texts(ofResource['labels']).slice(0, MAX_LABELS),
    },
  })
}

function withContext(
  context: JsonObject,
  agent: JsonValue | undefined,
  now: Seconds,
  parties: Pick<AccessRequest, 'subject' | 'action' | 'resource'>,
): Result<AccessRequest, Failure> {
  const intent = readIntent(context['intent'], agent)
  if (!intent.ok) return intent
  const rules = readRules(context['rules'])
  if (rules === null) return wrong('context.rules')
  const history = readHistory(context['history'])
  if (history === null) return wrong('context.history')
  const time = readTime(context['time'], now)
  if (time === null) return wrong('context.time')
  return ok({ ...parties, intent: intent.value, rules, history, time })
}

function wrong(parameter: string): Result<never, Failure> {
  return fail({ kind: 'malformed_request', reason: 'invalid_member', parameter })
}

/**
 * The members of an intent that this endpoint names; empty ones are absent, as the broker itself
 * sends them. Inside origin and envelope nothing unknown passes: it might have been a restriction.
 */
function readIntent(
  value: JsonValue | undefined,
  agent: JsonValue | undefined,
): Result<AgentIntent | null, Failure> {
  if (isEmpty(value)) return ok(null)
  if (!isJsonObject(value)) return wrong('context.intent')
  const stated: Record<string, JsonValue> = { type: 'agent_intent' }
  const members: { readonly [member: string]: JsonValue | undefined } = {
    ...value,
    agent: value['agent'] ?? agent,
  }
  for (const name of ['purpose', 'origin', 'agent', 'envelope', 'expected_seconds'] as const) {
    const member = members[name]
    if (member !== undefined && !isEmpty(member)) stated[name] = member
  }
  const parsed = parseAgentIntent(stated, '')
  if (parsed.ok) return parsed
  const { failure } = parsed
  const path = failure.kind === 'invalid_authorization_details' ? (failure.path ?? '') : ''
  return wrong(`context.intent${path.replaceAll('/', '.')}`)
}

function isEmpty(value: JsonValue | undefined): boolean {
  if (value === undefined || value === null) return true
  return isJsonObject(value) && Object.keys(value).length === 0
}

function readRules(value: JsonValue | undefined): readonly IntentRule[] | null {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > MAX_RULES) return null
  const rules: IntentRule[] = []
  for (const rule of value as readonly JsonValue[]) {
    if (!isJsonObject(rule)) return null
    const { id, text, effect } = rule
    if (!isText(id) || !isText(text) || text.length > MAX_RULE_CHARACTERS) return null
    if (effect !== 'deny' && effect !== 'review') return null
    rules.push({ id, text, effect })
  }
  return rules
}

function readHistory(value: JsonValue | undefined): readonly HistoryEntry[] | null {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > MAX_HISTORY) return null
  const history: HistoryEntry[] = []
  for (const entry of value as readonly JsonValue[]) {
    if (!isJsonObject(entry) || !isJsonObject(entry['action'])) return null
    const { action, verdict, result } = entry
    if (verdict !== undefined && typeof verdict !== 'string') return null
    const past = { action, verdict: verdict ?? '' }
    history.push(isJsonObject(result) ? { ...past, result } : past)
  }
  return history
}

function readTime(value: JsonValue | undefined, now: Seconds): Seconds | null {
  if (value === undefined) return now
  if (typeof value !== 'string' || !RFC_3339.test(value)) return null
  const ms = Date.parse(value)
  return Number.isNaN(ms) ? null : Math.floor(ms / 1000)
}

function isText(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== ''
}

function textOr<T>(value: JsonValue | undefined, otherwise: T): string | T {
  return isText(value) ? value : otherwise
}

function texts(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly JsonValue[]).filter(isText) : []
}
