// Actions of which only the form is read here: a tool's call, SQL. What they do
// stays undetermined, so that no deterministic tier allows them; a judge may, where one is
// configured.
import type { ActionType, StatedAction } from '../core/action-type.ts'
import type { Undetermined } from '../core/envelope.ts'
import { isJsonObject } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Action, ActionName } from '../core/intent.ts'
import { fail, ok } from '../core/result.ts'

const EVERYTHING: readonly Undetermined[] = ['effects', 'objects', 'destinations']

type Form = {
  readonly name: ActionName
  /** The first member that is not what it must be; null when all are. */
  readonly mistake: (properties: JsonObject) => string | null
  /** What the audit may say of it. */
  readonly record: readonly string[]
}

export const mcpCall = stated({
  name: 'mcp.call',
  mistake: (p) =>
    (isName(p['tool']) ? null : 'tool') ??
    (isAbsentOr(p['arguments'], isJsonObject) ? null : 'arguments'),
  record: ['tool'],
})

const DIALECTS: readonly JsonValue[] = ['postgres', 'sqlite', 'mysql']

export const sqlQuery = stated({
  name: 'sql.query',
  mistake: (p) =>
    (DIALECTS.includes(p['dialect'] ?? null) ? null : 'dialect') ??
    (isName(p['sql']) ? null : 'sql') ??
    (isAbsentOr(p['params'], Array.isArray) ? null : 'params'),
  record: ['dialect'],
})

function stated({ name, mistake, record }: Form): ActionType {
  return {
    name,
    async read(request) {
      const wrong = mistake(request.properties)
      if (wrong !== null) return fail(`malformed_${wrong}`)
      return ok({ action: actionOf(name, request, record), undetermined: EVERYTHING })
    },
  }
}

function actionOf(
  name: ActionName,
  { properties, resource }: StatedAction,
  recorded: readonly string[],
): Action {
  const { tool } = properties
  const record = Object.entries(properties).filter(([member]) => recorded.includes(member))
  return {
    name,
    target: resource.id,
    targetType: resource.type,
    targetLabels: resource.labels,
    effects: [],
    objects: [],
    destinations: [],
    ...(name === 'mcp.call' && typeof tool === 'string' ? { tool } : {}),
    properties,
    record: Object.fromEntries(record),
  }
}

function isName(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== ''
}

function isAbsentOr(value: JsonValue | undefined, is: (value: JsonValue) => boolean): boolean {
  return value === undefined || is(value)
}
