// POST /events: security event tokens as a transmitter pushes them (RFC 8935). 202 for every one that was
// taken, whether or not it was about anybody here.
import type { Ids } from '../core/ports.ts'
import { receiveEvent, type ReceiveDeps, type ReceiveRefusal } from '../core/receive-event.ts'
import type { SetFault } from '../core/security-event.ts'
import type { RequestFacts } from '../platform.ts'
import { readAuthorization } from './authorization.ts'
import { NO_STORE, problemAnswer, toResponse } from './error.ts'
import { readText } from './form.ts'
import { sourceOf } from './source.ts'

/** What the parser of tokens takes at most. */
const MAX_SET_BYTES = 16_384
const MEDIA_TYPE = 'application/secevent+jwt'

export async function handleEvents(
  request: Request,
  facts: RequestFacts,
  deps: ReceiveDeps & { readonly ids: Ids },
): Promise<Response> {
  const decisionId = deps.ids.fresh('dec')
  if (request.method !== 'POST') {
    return toResponse(problemAnswer({ kind: 'method_not_allowed', allow: ['POST'] }, decisionId))
  }
  const mediaType = (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (mediaType !== MEDIA_TYPE)
    return refusal({ err: 'invalid_request', reason: 'media_type' }, 415)
  const body = await readText(request, MAX_SET_BYTES)
  if (!body.ok) {
    const isLarge = body.failure.kind === 'payload_too_large'
    return refusal({ err: 'invalid_request', reason: 'malformed' }, isLarge ? 413 : 400)
  }
  const source = sourceOf(facts.clientAddress)
  const refused = await receiveEvent(
    { token: body.value.trim(), authorization: bearerOf(facts), source },
    decisionId,
    deps,
  )
  return refused === null ? taken(decisionId) : answer(refused, decisionId)
}

/** SSF calls it `authorization_header`: what the transmitter was told to send with each event. */
function bearerOf(facts: RequestFacts): string | null {
  const presented = readAuthorization(facts)
  return presented.ok && presented.value?.scheme === 'Bearer' ? presented.value.value : null
}

function taken(decisionId: string): Response {
  return new Response(null, {
    status: 202,
    headers: { ...NO_STORE, 'sallyport-decision': decisionId },
  })
}

function answer(refused: ReceiveRefusal, decisionId: string): Response {
  return refused.kind === 'set'
    ? refusal(refused.fault, 400)
    : toResponse(problemAnswer(refused.failure, decisionId))
}

/** Who is not authenticated learns nothing of what is configured: one description for all of them. */
const DESCRIPTIONS: Readonly<Record<SetFault['err'], string>> = {
  invalid_request: 'This is no security event token that is understood here.',
  invalid_issuer: 'Its issuer is not accepted.',
  invalid_audience: 'It is meant for somebody else.',
  authentication_failed: 'The transmitter could not be authenticated.',
}

function refusal(fault: SetFault, status: 400 | 413 | 415): Response {
  const { err, reason, authenticated } = fault
  const description =
    authenticated === true ? `${DESCRIPTIONS[err]} (${reason})` : DESCRIPTIONS[err]
  return new Response(JSON.stringify({ err, description }), {
    status,
    headers: { ...NO_STORE, 'content-type': 'application/json', 'content-language': 'en' },
  })
}
