// One question to an authority that the configuration names, answered with one JSON object: TokenReview,
// token introspection, userinfo. The question carries a credential, so it goes to that URL and nowhere
// else.
import type { JsonObject } from '../core/identity.ts'
import { fail, type Result } from '../core/result.ts'
import { readJsonDocument, type DocumentFault } from './json-document.ts'
import { OutboundError, type Outbound, type OutboundRequest } from './outbound.ts'

export type JsonQuestion = Pick<OutboundRequest, 'method' | 'url' | 'headers' | 'reach' | 'ca'> & {
  readonly body: string | null
  readonly statuses: readonly number[]
}

export type JsonCallFault = { readonly rule: DocumentFault; readonly status: number | null }

/** Over connection, headers and the last byte of the body: an exchange waits for it. */
const CALL_TIMEOUT_MS = 5_000

/** Never throws: a caller can cause everything that goes wrong here. */
export async function askForJson(
  outbound: Outbound,
  { body, statuses, headers, ...call }: JsonQuestion,
): Promise<Result<JsonObject, JsonCallFault>> {
  const ending = new AbortController()
  const timer = setTimeout(() => ending.abort(), CALL_TIMEOUT_MS)
  let status: number | null = null
  try {
    const response = await outbound({
      ...call,
      headers: [
        ['accept', 'application/json'],
        ['accept-encoding', 'identity'],
        ['user-agent', 'sallyport'],
        ...headers,
      ],
      body: body === null ? null : new TextEncoder().encode(body),
      timeoutMs: CALL_TIMEOUT_MS,
      signal: ending.signal,
    })
    status = response.status
    const document = await readJsonDocument(response, { statuses })
    return document.ok ? document : fail({ rule: document.failure, status })
  } catch (error) {
    if (ending.signal.aborted) return fail({ rule: 'timeout', status })
    // A body that breaks off is the runtime's own error where the transport cannot wrap it.
    return fail({ rule: error instanceof OutboundError ? error.reason : 'protocol_error', status })
  } finally {
    clearTimeout(timer)
  }
}
