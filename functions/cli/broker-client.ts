// The CLI's calls to a broker. A token goes over TLS or loopback only, and never across a redirect.
import { isLoopbackHost } from '../config.ts'
import { CliError, type CliIo, EXIT, type ExitCode, usage } from './io.ts'

export type BrokerAnswer = {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

export type BrokerClient = {
  readonly server: string
  /** A public endpoint. Throws CliError unless it answers 2xx. */
  get(path: string): Promise<BrokerAnswer>
  /** An OAuth endpoint; with `prove` each call carries a proof, and one that lacks a nonce is made again. */
  form(path: string, form: URLSearchParams, prove?: Prove): Promise<BrokerAnswer>
  /** An endpoint of /admin/v1, with the admin token. */
  admin(
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<BrokerAnswer>
}

export type Prove = (request: {
  readonly method: string
  readonly url: string
  readonly nonce: string | null
}) => Promise<string>

const DEFAULT_SERVER = 'http://127.0.0.1:8787'
const TIMEOUT_MS = 30_000
/** Nothing that the CLI asks for is longer; a foreign server must not fill the memory. */
const MAX_ANSWER_CHARACTERS = 32 * 1024 * 1024

export function createBrokerClient(io: CliIo, server: string | undefined): BrokerClient {
  const base = originOf(server ?? io.env('SALLYPORT_URL') ?? DEFAULT_SERVER)
  const accepted = (answer: BrokerAnswer): BrokerAnswer => {
    if (answer.status >= 200 && answer.status < 300) return answer
    throw refusal(answer, base)
  }
  const call = async (path: string, init: RequestInit): Promise<BrokerAnswer> =>
    accepted(await send(io, base, path, init))
  return {
    server: base,
    get: (path) => call(path, {}),
    async form(path, form, prove) {
      const init = { method: 'POST', body: form }
      if (prove === undefined) return call(path, init)
      const proven = async (nonce: string | null) => {
        const dpop = await prove({ method: 'POST', url: `${base}${path}`, nonce })
        return send(io, base, path, { ...init, headers: { dpop } })
      }
      const first = await proven(null)
      const nonce = first.headers.get('dpop-nonce')
      const isAsked = membersOf(first.body)['error'] === 'use_dpop_nonce' && nonce !== null
      // RFC 9449 §8: once. A broker that asks again is not obeyed again.
      return accepted(isAsked ? await proven(nonce) : first)
    },
    admin(method, path, body, headers = {}) {
      const token = io.env('SALLYPORT_ADMIN_TOKEN')
      if (token === undefined || token === '') {
        throw usage('set SALLYPORT_ADMIN_TOKEN to the admin token, or to a handle with a role')
      }
      const sent: Record<string, string> = { ...headers, authorization: `Bearer ${token}` }
      if (body === undefined) return call(`/admin/v1${path}`, { method, headers: sent })
      sent['content-type'] = 'application/json'
      return call(`/admin/v1${path}`, { method, headers: sent, body: JSON.stringify(body) })
    },
  }
}

function originOf(server: string): string {
  const url = URL.canParse(server) ? new URL(server) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw usage('the server must be an origin such as https://broker.example')
  }
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    throw usage('plain http is for loopback only: a token would be readable on the way')
  }
  if (url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw usage(`the server must be an origin without a path: ${url.origin}`)
  }
  return url.origin
}

async function send(
  io: CliIo,
  base: string,
  path: string,
  init: RequestInit,
): Promise<BrokerAnswer> {
  let response: Response
  let text: string
  try {
    response = await io.fetch(`${base}${path}`, {
      ...init,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    text = await response.text()
  } catch (error) {
    // The runtime's text may hold header values (reliability.md F6); its code never does.
    throw new CliError(EXIT.unavailable, `${base} cannot be reached (${causeCode(error)})`)
  }
  if (text.length > MAX_ANSWER_CHARACTERS) {
    throw new CliError(EXIT.unavailable, `${base} answered more than a broker would`)
  }
  return { status: response.status, headers: response.headers, body: parseBody(text) }
}

function parseBody(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function causeCode(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error
  if (typeof cause === 'object' && cause !== null) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code
    if ('name' in cause && typeof cause.name === 'string') return cause.name
  }
  return 'unknown'
}

/** What was refused, why, and how to mend it: OAuth errors and problems say the same in other words. */
function refusal(answer: BrokerAnswer, server: string): CliError {
  const members = membersOf(answer.body)
  const code = members['code'] ?? members['error']
  if (typeof code !== 'string') {
    const message = `${server} answered ${answer.status}, and not as a broker does`
    return new CliError(EXIT.unavailable, message, { status: answer.status })
  }
  const lines = [`refused: ${code}`]
  const detail = members['detail'] ?? members['error_description'] ?? members['title']
  if (typeof detail === 'string') lines.push(`  ${detail}`)
  for (const mistake of Array.isArray(members['errors']) ? members['errors'] : []) {
    const { path, message } = membersOf(mistake)
    lines.push(`  ${String(path)}: ${String(message)}`)
  }
  if (typeof members['hint'] === 'string') lines.push(`  hint: ${members['hint']}`)
  if (typeof members['decision_id'] === 'string') {
    lines.push(`  decision: ${members['decision_id']}`)
  }
  return new CliError(exitCodeOf(answer.status), lines.join('\n'), answer.body)
}

function exitCodeOf(status: number): ExitCode {
  return status >= 500 || status === 429 ? EXIT.unavailable : EXIT.refused
}

/** The members of an object of JSON; none of anything else. */
export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>) // an object may be read by any name
    : {}
}
