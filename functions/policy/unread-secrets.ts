// Secrets outside of the broker that a check left unread: nobody but an admin has them looked up, and their
// source may not answer. Told as a warning, so that nobody takes the policy for one that was seen to work.
import type { DocumentError, PolicyDocument, PolicyKind } from '../core/policy.ts'
import { bringsItsOrigins } from '../core/secret-source.ts'
import type { PolicyObject } from '../store/contract.ts'
import type { PolicyTypes } from './check.ts'
import { below, pointer } from './pointer.ts'
import { secretUses } from './secret-uses.ts'

/** Paths are relative to the object. */
export async function unreadSecrets(
  kind: PolicyKind,
  object: PolicyObject,
  types: PolicyTypes,
): Promise<DocumentError[]> {
  const found: DocumentError[] = []
  for (const { reference, path } of secretUses(kind, object, types.issuer)) {
    if (bringsItsOrigins(reference)) continue
    const origins = await types.secretAllowedOrigins(reference)
    if (!origins.ok || origins.value !== 'unread') continue
    const message = `whether there is a secret ${reference} was not looked up`
    found.push({ path, code: 'secret_unread', message })
  }
  return found
}

export async function unreadSecretsOf(
  document: PolicyDocument,
  types: PolicyTypes,
): Promise<DocumentError[]> {
  const found: DocumentError[] = []
  for (const kind of ['auth_methods', 'targets', 'intent_policies'] as const) {
    for (const [i, object] of document[kind].entries()) {
      found.push(...below(pointer(kind, i), await unreadSecrets(kind, object, types)))
    }
  }
  return found
}
