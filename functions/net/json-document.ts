// Reads a JSON document that somebody else sends. Whoever answers is hostile until parsed: no redirect,
// a byte cap while streaming, nothing compressed, strict JSON.
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject, parseStrictJson, type StrictJsonOptions } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { OutboundReason, OutboundResponse } from './outbound.ts'
import { readCapped } from './read-body.ts'

/** Why a document was not taken; for the audit log and `doctor`, never for the wire. */
export type DocumentFault =
  | OutboundReason
  | 'redirect'
  | 'status'
  | 'encoded'
  | 'too_large'
  | 'not_json'

const MAX_DOCUMENT_BYTES = 65_536

export async function readJsonDocument(
  response: OutboundResponse,
  expected: { readonly statuses: readonly number[]; readonly json?: StrictJsonOptions },
): Promise<Result<JsonObject, DocumentFault>> {
  const fault = headFault(response, expected.statuses)
  if (fault !== null) {
    await response.body?.cancel()
    return fail(fault)
  }
  const bytes = await readCapped(response.body, MAX_DOCUMENT_BYTES)
  if (bytes === null) return fail('too_large')
  const document = parseDocument(bytes, expected.json)
  return document === null ? fail('not_json') : ok(document)
}

function headFault(
  { status, headers }: OutboundResponse,
  statuses: readonly number[],
): DocumentFault | null {
  if (status >= 300 && status < 400) return 'redirect'
  if (!statuses.includes(status)) return 'status'
  // Nothing was asked for but identity; what the sender compressed all the same is not unpacked here.
  const coding = headers.find(([name]) => name === 'content-encoding')?.[1] ?? 'identity'
  return coding.toLowerCase() === 'identity' ? null : 'encoded'
}

function parseDocument(bytes: Uint8Array, options?: StrictJsonOptions): JsonObject | null {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)
  } catch {
    return null
  }
  const parsed = parseStrictJson(text, options)
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : null
}
