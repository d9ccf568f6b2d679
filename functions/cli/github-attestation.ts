// The ID token of a job of GitHub Actions, asked for at the moment it is needed: it lives five minutes, and a
// `credential_process` is run again whenever credentials are. What is asked for names this broker alone.
import { isLoopbackHost } from '../config.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import type { Attestation } from './attestation.ts'
import { membersOf } from './broker-client.ts'
import { CliError, type CliIo, EXIT, usage } from './io.ts'

const TIMEOUT_MS = 10_000

export async function githubToken(broker: string, io: CliIo): Promise<Attestation> {
  const address = io.env('ACTIONS_ID_TOKEN_REQUEST_URL') ?? ''
  const bearer = io.env('ACTIONS_ID_TOKEN_REQUEST_TOKEN') ?? ''
  if (address === '' || bearer === '') {
    throw usage('this is no job of GitHub Actions that has `permissions: { id-token: write }`')
  }
  const url = requestUrl(address)
  url.searchParams.set('audience', broker)
  const { value } = membersOf(await ask(url, bearer, io))
  if (typeof value === 'string' && value !== '') return { token: value, tokenType: TOKEN_TYPES.jwt }
  throw new CliError(EXIT.unavailable, `${url.origin} gave no ID token`)
}

function requestUrl(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : null
  const isSafe =
    url !== null &&
    (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackHost(url.hostname)))
  if (isSafe) return url
  throw usage('ACTIONS_ID_TOKEN_REQUEST_URL is not an https URL')
}

async function ask(url: URL, bearer: string, io: CliIo): Promise<unknown> {
  try {
    const response = await io.fetch(url, {
      headers: { authorization: `Bearer ${bearer}`, accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    return await response.json()
  } catch {
    // The runtime's own error may repeat a header (reliability.md F6).
    throw new CliError(EXIT.unavailable, `${url.origin} cannot be reached, or gives no JSON`)
  }
}
