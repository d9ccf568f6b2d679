// The transport of Workers. The platform resolves names itself and shows no address, so only what can
// be told from the URL is refused here; private networks are reached through bindings (JW-02).
import { hostRefusal } from './addresses.ts'
import {
  OutboundError,
  type Outbound,
  type OutboundRequest,
  type OutboundResponse,
} from './outbound.ts'
import { checkMethod, hasNoBody, sendableHeaders } from './request-headers.ts'

type Fetch = typeof globalThis.fetch

/** Content codings the runtime takes off by itself while it leaves their header on. */
const DECODED_BY_RUNTIME: readonly string[] = ['gzip', 'br']

export function createFetchOutbound(fetch: Fetch): Outbound {
  return async (request) => {
    if (request.signal?.aborted === true) throw new OutboundError('aborted')
    if (hostRefusal(request.url, request.reach) !== null) {
      throw new OutboundError('address_refused')
    }
    // The platform checks certificates against public authorities, and shows none.
    if (request.ca !== undefined || request.verifyPeer !== undefined) {
      throw new OutboundError('protocol_error')
    }
    checkMethod(request.method)
    const headers = new Headers()
    for (const [name, value] of sendableHeaders(request.headers)) headers.append(name, value)
    const response = await send(fetch, request, headers)
    return {
      status: response.status,
      headers: headerLines(response),
      body: bodyOf(request, response),
    }
  }
}

async function send(fetch: Fetch, request: OutboundRequest, headers: Headers): Promise<Response> {
  const ending = new AbortController()
  let reason: 'timeout' | 'aborted' | 'connect_failed' = 'connect_failed'
  const end = (why: 'timeout' | 'aborted'): void => {
    reason = why
    ending.abort()
  }
  const timer = setTimeout(() => end('timeout'), request.timeoutMs)
  // Stays after the headers have come: the signal ends the body as well.
  request.signal?.addEventListener('abort', () => end('aborted'), { once: true })
  try {
    return await fetch(request.url.href, requestInit(request, headers, ending.signal))
  } catch {
    // Only the reason: the runtime's own error may name header values (F6).
    throw new OutboundError(reason)
  } finally {
    clearTimeout(timer)
  }
}

function requestInit(
  { method, body }: OutboundRequest,
  headers: Headers,
  signal: AbortSignal,
): RequestInit {
  const init: RequestInit = { method, headers, redirect: 'manual', signal }
  if (body === null) return init
  // `duplex` is what Node's fetch asks for with a stream; workerd does not look at it. The cast is for
  // the body alone: each runtime has its own name for the same type.
  const withBody = {
    ...init,
    body: body as NonNullable<RequestInit['body']>,
    duplex: 'half' as const,
  }
  return withBody
}

function headerLines({ headers, body }: Response): [string, string][] {
  const isDecoded =
    body !== null && DECODED_BY_RUNTIME.includes(headers.get('content-encoding')?.trim() ?? '')
  const lines: [string, string][] = []
  headers.forEach((value, name) => {
    if (name === 'set-cookie') return
    // Both speak of the bytes on the wire, which are not the bytes of `body` any more.
    if (isDecoded && (name === 'content-encoding' || name === 'content-length')) return
    lines.push([name, value])
  })
  for (const cookie of headers.getSetCookie()) lines.push(['set-cookie', cookie])
  return lines
}

function bodyOf(request: OutboundRequest, response: Response): OutboundResponse['body'] {
  return hasNoBody(request.method, response.status) ? null : response.body
}
