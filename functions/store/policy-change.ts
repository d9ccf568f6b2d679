// The changes of one policy write as few statements: one for each kind and operation, its rows in a JSON
// parameter, so that 100,000 bindings are some dozens of statements on every driver.
import type { BindingPolicy, PolicyKind } from '../core/policy.ts'
import type { PolicyChange, PolicyObject } from './contract.ts'
import type { Statement } from './driver.ts'

/** D1 refuses strings over 2 MB; a statement's JSON stays well below. */
const MAX_JSON_CHARACTERS = 500_000

const IN_THIS_WRITE = 'EXISTS (SELECT 1 FROM audit_event WHERE id = ?2)'

const PUT_OBJECTS = `INSERT INTO policy_object
  (kind, name, document, revision, created_at, updated_at)
  SELECT ?5, value ->> 0, value ->> 1, ?3, ?4, ?4 FROM json_each(?1) WHERE ${IN_THIS_WRITE}
  ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document,
    revision = excluded.revision, updated_at = excluded.updated_at`
const DELETE_OBJECTS = `DELETE FROM policy_object
  WHERE kind = ?3 AND name IN (SELECT value FROM json_each(?1)) AND ${IN_THIS_WRITE}`
const PUT_BINDINGS = `INSERT INTO binding
  (name, document, auth_method, target, enabled, revision, created_at, updated_at)
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?3, ?4, ?4
  FROM json_each(?1) WHERE ${IN_THIS_WRITE}
  ON CONFLICT (name) DO UPDATE SET document = excluded.document,
    auth_method = excluded.auth_method, target = excluded.target, enabled = excluded.enabled,
    revision = excluded.revision, updated_at = excluded.updated_at`
const DELETE_BINDINGS = `DELETE FROM binding
  WHERE name IN (SELECT value FROM json_each(?1)) AND ${IN_THIS_WRITE}`

export const CHANGE_STATEMENTS = { PUT_OBJECTS, DELETE_OBJECTS, PUT_BINDINGS, DELETE_BINDINGS }

type WriteFacts = {
  readonly revision: number
  readonly now: number
  readonly eventId: string
}

/** The last change of a name is the one that counts. */
export function changeStatements(
  changes: readonly PolicyChange[],
  facts: WriteFacts,
): readonly Statement[] {
  const byKind = new Map<PolicyKind, Map<string, PolicyChange>>()
  for (const change of changes) {
    const ofKind = byKind.get(change.kind) ?? new Map<string, PolicyChange>()
    byKind.set(change.kind, ofKind)
    ofKind.set(change.op === 'put' ? change.object.name : change.name, change)
  }
  return [...byKind].flatMap(([kind, ofKind]) => statementsOf(kind, [...ofKind.values()], facts))
}

function statementsOf(
  kind: PolicyKind,
  changes: readonly PolicyChange[],
  { revision, now, eventId }: WriteFacts,
): readonly Statement[] {
  const deleted = changes.flatMap((change) => (change.op === 'delete' ? [change.name] : []))
  const put = changes.flatMap((change) => (change.op === 'put' ? [change.object] : []))
  const isBinding = kind === 'bindings'
  return [
    ...chunks(deleted).map((names) =>
      isBinding
        ? { sql: DELETE_BINDINGS, args: [names, eventId] }
        : { sql: DELETE_OBJECTS, args: [names, eventId, kind] },
    ),
    ...chunks(put.map((object) => toRow(kind, object))).map((rows) =>
      isBinding
        ? { sql: PUT_BINDINGS, args: [rows, eventId, revision, now] }
        : { sql: PUT_OBJECTS, args: [rows, eventId, revision, now, kind] },
    ),
  ]
}

/** Columns taken from the object, then the whole of it. */
function toRow(kind: PolicyKind, object: PolicyObject): readonly unknown[] {
  const document = JSON.stringify(object)
  if (kind !== 'bindings') return [object.name, document]
  // A change of kind `bindings` carries a binding: http/ parsed it by that kind.
  const { name, auth_method, target, enabled } = object as BindingPolicy
  return [name, document, auth_method, target, enabled ? 1 : 0]
}

/** JSON arrays of all items, each short enough to be bound. */
function chunks(items: readonly unknown[]): readonly string[] {
  const texts: string[] = []
  let pending: string[] = []
  let length = 0
  for (const item of items) {
    const json = JSON.stringify(item)
    if (length + json.length > MAX_JSON_CHARACTERS && pending.length > 0) {
      texts.push(`[${pending.join(',')}]`)
      pending = []
      length = 0
    }
    pending.push(json)
    length += json.length
  }
  if (pending.length > 0) texts.push(`[${pending.join(',')}]`)
  return texts
}
