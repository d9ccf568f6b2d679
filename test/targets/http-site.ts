// A target of type `http` in front of a real server, and a record of what its calls settled.
import { Secret } from '../../functions/core/credential.ts'
import type { Failure } from '../../functions/core/failure.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { CredentialPolicy, TargetPolicy } from '../../functions/core/policy.ts'
import type { Result } from '../../functions/core/result.ts'
import type { CallInput, CallOutcome } from '../../functions/core/target.ts'
import { createNodeOutbound } from '../../functions/net/node-outbound.ts'
import type { Outbound } from '../../functions/net/outbound.ts'
import type { RawHttpRequest } from '../../functions/actions/http.ts'
import {
  createHttpTarget,
  type HttpAnswer,
  type PreparedHttp,
} from '../../functions/targets/http.ts'

export const CANARY = 'canary-sk-live-51H8xCanaryKeyZq0'
export const LOOPBACK = { privateNetwork: false, loopback: true }

const nodeOutbound = createNodeOutbound()

export type SiteOptions = {
  readonly base: string
  readonly config?: JsonObject
  readonly credential?: Partial<CredentialPolicy> | null
  readonly target?: Partial<TargetPolicy>
  readonly secret?: Secret | null
  readonly outbound?: Outbound
}

export function targetPolicy(options: SiteOptions): TargetPolicy {
  const { credential, base } = options
  return {
    name: 'crm',
    type: 'http',
    enabled: true,
    config: { base_url: base, ...options.config },
    ...(credential === null
      ? {}
      : { credential: { inject: 'bearer', secret: 'sealed:crm', ...credential } }),
    ...options.target,
  }
}

export class Site {
  readonly outcomes: CallOutcome[] = []
  recordsOutcomes = true
  readonly compiled
  readonly #secret: Secret | null

  constructor(options: SiteOptions) {
    const type = createHttpTarget({ outbound: options.outbound ?? nodeOutbound, reach: LOOPBACK })
    const policy = targetPolicy(options)
    const mistakes = type.validate(policy)
    if (mistakes.length > 0) throw new Error(JSON.stringify(mistakes))
    this.compiled = type.compile(policy)
    this.#secret =
      options.secret === undefined
        ? new Secret(CANARY, [new URL(options.base).origin])
        : options.secret
  }

  normalise(request: Partial<RawHttpRequest> = {}) {
    const whole = { method: 'GET', rawPath: '/', rawQuery: '', headers: [], body: null, ...request }
    return this.compiled.normalise(whole)
  }

  async call(
    request: Partial<RawHttpRequest> = {},
    input: Partial<CallInput<PreparedHttp>> = {},
  ): Promise<Result<HttpAnswer, Failure>> {
    const normalised = await this.normalise(request)
    if (!normalised.ok) return normalised
    return this.compiled.call({
      ...normalised.value,
      credential: this.#secret,
      maxResponseBytes: 10_000_000,
      settle: async (outcome) => {
        this.outcomes.push(outcome)
        return this.recordsOutcomes
      },
      ...input,
    })
  }

  /** Status, headers and text of an answer that is expected. */
  async answer(
    request: Partial<RawHttpRequest> = {},
    input: Partial<CallInput<PreparedHttp>> = {},
  ) {
    const result = await this.call(request, input)
    if (!result.ok) throw new Error(JSON.stringify(result.failure))
    const { status, headers, body } = result.value
    const text = body === null ? '' : await new Response(body).text()
    return { status, text, headers: new Map(headers) }
  }
}

export function bodyOf(...chunks: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk)
      }
      controller.close()
    },
  })
}
