// What AWS's SDK sends its requests with here: the guarded transport, so that its clients obey the same rules
// as everything else that leaves the broker (no redirect, one address check, one time limit, a size cap), and
// get to read nothing that was not believed before.
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsCallDeps, AwsFault, KeySource } from './contract.ts'
import { foreign, NO_KEYS, NOT_FOR_ORIGIN } from './fault.ts'
import {
  AWS_TIMEOUT_MS,
  boundedCall,
  readAwsAnswer,
  type AwsAnswer,
  type AwsProtocol,
} from './signed-call.ts'

/** Carries a fault through the SDK, which passes on what its transport throws. */
export class AwsFaultError extends Error {
  override readonly name = 'AwsFaultError'
  readonly fault: AwsFault

  constructor(fault: AwsFault) {
    super(`call to AWS failed: ${fault.kind}`)
    this.fault = fault
  }
}

/** The part of the SDK's own request that is sent. */
type SdkRequest = {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly method: string
  readonly path: string
  readonly query?: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

type SdkResponse = {
  readonly response: {
    statusCode: number
    headers: Record<string, string>
    body: Uint8Array
  }
}

/** An HttpHandler as the SDK's clients take it; structural, so that no package of it is named here. */
export type SdkTransport = {
  handle(request: SdkRequest, options?: { readonly abortSignal?: unknown }): Promise<SdkResponse>
  updateHttpClientConfig(): void
  httpHandlerConfigs(): Record<string, never>
  destroy(): void
}

export type SdkTransportOptions = Pick<AwsCallDeps, 'outbound' | 'reach'> & {
  readonly protocol: AwsProtocol
  /** Judges the whole answer before the SDK reads it; `body` is what was asked. */
  readonly believe: (answer: AwsAnswer, body: string) => Result<unknown, AwsFault>
}

export function createSdkTransport(options: SdkTransportOptions): SdkTransport {
  return {
    async handle(request, handling) {
      const body = textOf(request.body)
      const answer = await boundedCall(async (ending) => {
        const called = handling?.abortSignal
        const signal = called instanceof AbortSignal ? AbortSignal.any([ending, called]) : ending
        const response = await options.outbound({
          method: request.method,
          url: urlOf(request),
          headers: Object.entries(request.headers),
          body: new TextEncoder().encode(body),
          timeoutMs: AWS_TIMEOUT_MS,
          signal,
          reach: options.reach,
        })
        return readAwsAnswer(response, options.protocol)
      })
      if (!answer.ok) throw new AwsFaultError(answer.failure)
      const believed = options.believe(answer.value, body)
      if (!believed.ok) throw new AwsFaultError(believed.failure)
      return { response: sdkResponse(answer.value) }
    },
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => ({}),
    destroy: () => undefined,
  }
}

/** These services take everything in the body: a path or query of the SDK's making is not sent. */
function urlOf({ protocol, hostname, port, path, query }: SdkRequest): URL {
  const hasMore = path !== '/' || Object.keys(query ?? {}).length > 0
  const text = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}/`
  if (hasMore || !URL.canParse(text)) throw new AwsFaultError(foreign('request', null))
  return new URL(text)
}

function textOf(body: unknown): string {
  if (typeof body === 'string') return body
  if (body instanceof Uint8Array) return new TextDecoder().decode(body)
  throw new AwsFaultError(foreign('request', null))
}

/** Only what was checked: of the headers, the type and the request's id. */
function sdkResponse({ status, text, media, requestId }: AwsAnswer): SdkResponse['response'] {
  return {
    statusCode: status,
    headers: {
      'content-type': media,
      ...(requestId === null ? {} : { 'x-amzn-requestid': requestId }),
    },
    body: new TextEncoder().encode(text),
  }
}

/** What a client of the SDK answers, or the fault that its transport, or the SDK itself, ran into. */
export async function sdkCall<T>(call: () => Promise<T>): Promise<Result<T, AwsFault>> {
  try {
    return ok(await call())
  } catch (error) {
    // The SDK's own text may quote the answer, and with it a secret.
    return fail(error instanceof AwsFaultError ? error.fault : foreign('sdk', null))
  }
}

/** The deployment's keys for a client of the SDK, asked for at each call: they have rotated, or they have not. */
export function sdkCredentials(keys: KeySource | null, origin: string): () => Promise<SdkKeys> {
  return async () => {
    const found = await (keys?.() ?? fail(NO_KEYS))
    if (!found.ok) throw new AwsFaultError(found.failure)
    const secretAccessKey = found.value.secretAccessKey.revealFor(origin)
    const sessionToken = found.value.sessionToken?.revealFor(origin)
    if (secretAccessKey === null || sessionToken === null) throw new AwsFaultError(NOT_FOR_ORIGIN)
    return {
      accessKeyId: found.value.accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      // In the past, so that the client keeps them for one call only.
      expiration: new Date(0),
    }
  }
}

type SdkKeys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration: Date
}

/** Settings of every client: nothing is taken from the machine's own configuration of the SDK. */
export const SDK_SETTINGS: SdkSettings = {
  maxAttempts: 1,
  retryMode: 'standard',
  defaultsMode: 'standard',
  useDualstackEndpoint: false,
  useFipsEndpoint: false,
  authSchemePreference: ['sigv4'],
  userAgentAppId: 'sallyport',
}

type SdkSettings = {
  readonly maxAttempts: number
  readonly retryMode: string
  readonly defaultsMode: 'standard'
  readonly useDualstackEndpoint: boolean
  readonly useFipsEndpoint: boolean
  readonly authSchemePreference: string[]
  readonly userAgentAppId: string
}
