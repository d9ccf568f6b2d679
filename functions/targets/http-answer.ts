// What of an upstream's answer the agent gets: allowed headers, rewritten locations, no credential, no
// masked value, no more bytes than reserved. What cannot be looked through is not released.
import type { Failure, GatewayDenial } from '../core/failure.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { CallOutcome } from '../core/target.ts'
import type { OutboundResponse } from '../net/outbound.ts'
import {
  BrokenOff,
  prefixed,
  readUpTo,
  redacted,
  Reflected,
  upstreamSource,
  type ByteSource,
} from './byte-source.ts'
import { ANSWER_HEADERS, responseHeaders, type HeaderLine } from './http-headers.ts'
import { gatewayLinks, gatewayReference, type Base } from './locations.ts'
import { maskBody, type Mask } from './mask.ts'
import type { CredentialScan } from './reflection.ts'
import { releasedBody } from './released-body.ts'
import type { Settle } from './settlement.ts'

export type HttpAnswer = {
  readonly status: number
  readonly headers: readonly HeaderLine[]
  /** Must be read to its end or cancelled: that is when the outcome is recorded. */
  readonly body: ReadableStream<Uint8Array> | null
}

/** What is the same for every answer of one target. */
export type AnswerRules = {
  readonly base: Base
  readonly responseHeaders: ReadonlySet<string>
  readonly mask: Mask | null
  /** `on_reflection: block`: an answer with the credential in it is refused, not redacted. */
  readonly isBlocking: boolean
  readonly maxMaskedBytes: number
  readonly idleMs: number
}

export type AnswerContext = AnswerRules & {
  readonly method: string
  /** Without the credential. */
  readonly requestUrl: URL
  readonly scan: CredentialScan | null
  readonly maxBytes: number
  readonly settle: Settle
  /** Ends the upstream call. */
  readonly abort: () => void
  readonly cancelled?: Promise<void>
}

/** What is known of the answer so far, for its record. */
type Seen = Pick<CallOutcome, 'status' | 'reflected' | 'masked'>

export async function answerOf(
  response: OutboundResponse,
  context: AnswerContext,
): Promise<Result<HttpAnswer, Failure>> {
  const answer = new Answer(response, context)
  try {
    return await answer.make()
  } catch (error) {
    return answer.giveUp(error)
  }
}

class Answer {
  readonly #response: OutboundResponse
  readonly #context: AnswerContext
  readonly #source: ByteSource | null
  #seen: Seen

  constructor(response: OutboundResponse, context: AnswerContext) {
    this.#response = response
    this.#context = context
    this.#seen = { status: response.status, reflected: false, masked: 0 }
    const { idleMs, abort } = context
    this.#source = response.body === null ? null : upstreamSource(response.body, { idleMs, abort })
  }

  async make(): Promise<Result<HttpAnswer, Failure>> {
    const { status } = this.#response
    if (status < 200 || status > 599) return this.#withhold(upstreamFailed('status'))
    if (isEncoded(this.#response.headers)) return this.#withhold(upstreamFailed('encoded'))
    const headers = this.#headers()
    if (this.#seen.reflected && this.#context.isBlocking) return this.#withhold(REFLECTED)
    if (this.#source === null || this.#isEmpty()) return this.#releaseEmpty(headers)
    if (this.#context.mask !== null) return this.#releaseMasked(this.#source, headers)
    return this.#releaseStream(this.#source, headers)
  }

  /** An end that nobody chose: the upstream's, or the credential's in what had been held. */
  async giveUp(error: unknown): Promise<Result<never, Failure>> {
    if (error instanceof Reflected) return this.#withhold(REFLECTED)
    if (!(error instanceof BrokenOff)) throw error
    this.#source?.stop()
    await this.#context.settle({ ...this.#seen, result: 'unknown' })
    return fail({ kind: 'upstream_failed', reason: 'broken_off', timedOut: error.isTimeout })
  }

  #headers(): readonly HeaderLine[] {
    const { headers } = this.#response
    const lines = responseHeaders(headers, this.#context.responseHeaders).flatMap((line) =>
      this.#header(line),
    )
    return [...lines, ...ANSWER_HEADERS]
  }

  #header([name, value]: HeaderLine): readonly HeaderLine[] {
    const { base, requestUrl, scan } = this.#context
    const rewritten =
      name === 'location' || name === 'content-location'
        ? gatewayReference(base, requestUrl, value)
        : name === 'link'
          ? gatewayLinks(base, requestUrl, value)
          : value
    if (rewritten === null) return []
    const { text, found } = scan?.redactText(rewritten) ?? { text: rewritten, found: false }
    if (found) this.#seen = { ...this.#seen, reflected: true }
    return [[name, text]]
  }

  /** RFC 9110 §6.4.1; and a body of no bytes, whose only chunk is its end. */
  #isEmpty(): boolean {
    const { status, headers } = this.#response
    if (this.#context.method === 'HEAD' || [204, 205, 304].includes(status)) return true
    return headers.some(([name, value]) => name === 'content-length' && value.trim() === '0')
  }

  async #releaseEmpty(headers: readonly HeaderLine[]): Promise<Result<HttpAnswer, Failure>> {
    this.#source?.stop()
    const isRecorded = await this.#context.settle({ ...this.#seen, result: 'completed' })
    if (!isRecorded) return unrecorded()
    return ok({ status: this.#response.status, headers, body: null })
  }

  async #releaseMasked(
    source: ByteSource,
    headers: readonly HeaderLine[],
  ): Promise<Result<HttpAnswer, Failure>> {
    const { mask, maxMaskedBytes } = this.#context
    // The parts of a range do not show what they are parts of.
    if (mask === null || this.#response.status === 206) return this.#withhold(UNMASKABLE)
    const { pieces, isWhole } = await readUpTo(source, maxMaskedBytes)
    if (!isWhole) return this.#withhold(TOO_LARGE, 'truncated')
    // First the credential, then the masks: a mask could cut a form in two.
    const clean = await readUpTo(this.#clean(prefixed(pieces, null)), Infinity)
    const masked = maskBody(mask, contentType(this.#response.headers), joined(clean.pieces))
    if (masked === null) return this.#withhold(UNMASKABLE)
    this.#seen = { ...this.#seen, masked: masked.count }
    const bytes = new TextEncoder().encode(masked.text)
    return this.#release(prefixed(bytes.length === 0 ? [] : [bytes], null), headers)
  }

  async #releaseStream(
    source: ByteSource,
    headers: readonly HeaderLine[],
  ): Promise<Result<HttpAnswer, Failure>> {
    const { isBlocking, maxMaskedBytes, scan } = this.#context
    if (!isBlocking || scan === null || this.#isEventStream()) {
      return this.#release(this.#clean(source), headers)
    }
    // A refusal is only possible before the first byte: the answer is looked through as far as it is held.
    const held = await readUpTo(this.#clean(source), maxMaskedBytes)
    return this.#release(prefixed(held.pieces, held.isWhole ? null : this.#rest), headers)
  }

  #rest: ByteSource | null = null

  #clean(source: ByteSource): ByteSource {
    const { scan, isBlocking } = this.#context
    if (scan === null) return source
    const found = (): void => {
      this.#seen = { ...this.#seen, reflected: true }
    }
    this.#rest = redacted(source, scan, { isBlocking, found })
    return this.#rest
  }

  #release(source: ByteSource, headers: readonly HeaderLine[]): Result<HttpAnswer, Failure> {
    const { maxBytes, settle, cancelled } = this.#context
    const body = releasedBody({
      source,
      maxBytes,
      holdsLast: !this.#isEventStream(),
      settle: (outcome) => settle({ ...this.#seen, ...outcome }),
      ...(cancelled === undefined ? {} : { cancelled }),
    })
    return ok({ status: this.#response.status, headers, body })
  }

  #isEventStream(): boolean {
    return /^\s*text\/event-stream\s*(;|$)/i.test(contentType(this.#response.headers) ?? '')
  }

  /** The upstream has acted; the agent gets nothing of what it said. */
  async #withhold(
    failure: Result<never, Failure>,
    result: CallOutcome['result'] = 'aborted',
  ): Promise<Result<never, Failure>> {
    this.#source?.stop()
    await this.#context.settle({ ...this.#seen, result })
    return failure
  }
}

function denied(code: GatewayDenial, reason: string, hint?: string): Result<never, Failure> {
  return fail({ kind: 'action_denied', code, reason, ...(hint === undefined ? {} : { hint }) })
}

const REFLECTED = denied('credential_reflected', 'credential_reflected')
const TOO_LARGE = denied(
  'response_too_large',
  'masked_answer_too_large',
  'Ask for fewer records at once: answers of this target are held in whole to be masked.',
)
const UNMASKABLE = denied(
  'response_unmaskable',
  'answer_not_maskable',
  'Ask for JSON: other answers of this target cannot be masked and are not released.',
)

function upstreamFailed(reason: string): Result<never, Failure> {
  return fail({ kind: 'upstream_failed', reason, timedOut: false })
}

function unrecorded(): Result<never, Failure> {
  return fail({ kind: 'unavailable', reason: 'outcome_not_recorded', retryAfterSeconds: 1 })
}

/** `identity` was asked for; whatever else it is, it cannot be looked through. */
function isEncoded(headers: readonly HeaderLine[]): boolean {
  return headers.some(
    ([name, value]) => name === 'content-encoding' && !/^\s*(identity)?\s*$/i.test(value),
  )
}

/** Two of them have two readings, and count as none. */
function contentType(headers: readonly HeaderLine[]): string | null {
  const [only, another] = headers.filter(([name]) => name === 'content-type')
  return only === undefined || another !== undefined ? null : only[1]
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
