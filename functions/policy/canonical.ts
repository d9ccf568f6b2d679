// One text for one policy object, however it was written: what is compared, compiled once and hashed.
import { canonicalJson } from '../core/audit.ts'
import type { PolicyObject } from '../store/contract.ts'

export function isSame(left: PolicyObject, right: PolicyObject): boolean {
  return canonicalObject(left) === canonicalObject(right)
}

/** The text whose SHA-256 the audit log keeps of an object. */
export function canonicalObject(object: PolicyObject): string {
  // Policy objects are plain JSON by construction (schema.ts); their types have no index signature.
  return canonicalJson(object)
}
