// One call to AWS over the guarded transport: signed with aws4fetch, asked once, believed in exactly one
// form. The SDK's clients go over the same transport and the same checks (sdk-transport.ts).
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { OutboundError, type OutboundResponse } from '../net/outbound.ts'
import { readCapped } from '../net/read-body.ts'
import type { AwsCallDeps, AwsEndpoint, AwsFault, AwsKeys } from './contract.ts'
import { foreign, NOT_FOR_ORIGIN, refusalFault, unavailable } from './fault.ts'
import { child, childText, hasDistinctMembers, parseXml, type XmlElement } from './xml-document.ts'

/** `query`: STS and IAM, form in and XML out. `json`: Secrets Manager and SSM. */
export type AwsProtocol = 'query' | 'json'

export type AwsCall = {
  readonly endpoint: AwsEndpoint
  readonly protocol: AwsProtocol
  /** Of the protocol: content type, `x-amz-target`. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
  /** Null: not signed (AssumeRoleWithWebIdentity). */
  readonly keys: AwsKeys | null
}

/** Of any status; type, size and characters have been checked. */
export type AwsAnswer = {
  readonly status: number
  readonly media: string
  readonly text: string
  /** As AWS names its own requests, in a header. */
  readonly requestId: string | null
}

/** Over connection, headers and the last byte of the body: an exchange waits for it. */
export const AWS_TIMEOUT_MS = 5_000
/** A secret is at most 64 KiB, and six times that when every byte is escaped. */
const MAX_ANSWER_BYTES = 512 * 1024

const MEDIA_TYPES: Readonly<Record<AwsProtocol, readonly string[]>> = {
  query: ['text/xml', 'application/xml'],
  json: ['application/x-amz-json-1.1', 'application/x-amz-json-1.0', 'application/json'],
}

/** Never throws: a caller, AWS or the network can cause everything that goes wrong here. */
export async function signedCall(
  deps: AwsCallDeps,
  { endpoint, protocol, headers, body, keys }: AwsCall,
): Promise<Result<AwsAnswer, AwsFault>> {
  const lines: [string, string][] = [
    ...headers.map(([name, value]): [string, string] => [name, value]),
    ['accept-encoding', 'identity'],
    ['user-agent', 'sallyport'],
  ]
  const signed = keys === null ? lines : await signedLines(deps, { endpoint, lines, body, keys })
  if (signed === null) return fail(NOT_FOR_ORIGIN)
  return boundedCall(async (signal) => {
    const response = await deps.outbound({
      method: 'POST',
      url: endpoint.url,
      headers: signed,
      body: new TextEncoder().encode(body),
      timeoutMs: AWS_TIMEOUT_MS,
      signal,
      reach: deps.reach,
    })
    return readAwsAnswer(response, protocol)
  })
}

type ToSign = {
  readonly endpoint: AwsEndpoint
  readonly lines: readonly [string, string][]
  readonly body: string
  readonly keys: AwsKeys
}

async function signedLines(
  { clock }: AwsCallDeps,
  { endpoint, lines, body, keys }: ToSign,
): Promise<[string, string][] | null> {
  const { origin, href } = endpoint.url
  const secretAccessKey = keys.secretAccessKey.revealFor(origin)
  const sessionToken = keys.sessionToken?.revealFor(origin)
  if (secretAccessKey === null || sessionToken === null) return null
  // On demand: where nothing is signed it is not needed.
  const { AwsV4Signer } = await import('aws4fetch')
  const signer = new AwsV4Signer({
    method: 'POST',
    url: href,
    headers: lines,
    body,
    accessKeyId: keys.accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    service: endpoint.service,
    region: endpoint.region,
    datetime: new Date(clock.nowMs()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
  })
  const { headers } = await signer.sign()
  return [...headers]
}

/** Ends by itself, and turns what the transport throws into a fault. */
export async function boundedCall<T>(
  call: (signal: AbortSignal) => Promise<Result<T, AwsFault>>,
): Promise<Result<T, AwsFault>> {
  const ending = new AbortController()
  const timer = setTimeout(() => ending.abort(), AWS_TIMEOUT_MS)
  try {
    return await call(ending.signal)
  } catch (error) {
    if (ending.signal.aborted) return fail(unavailable('timeout'))
    // A body that breaks off is the runtime's own error where the transport cannot wrap it.
    return fail(unavailable(error instanceof OutboundError ? error.reason : 'protocol_error'))
  } finally {
    clearTimeout(timer)
  }
}

/** What AWS would answer, whatever it says; anything else is a fault. */
export async function readAwsAnswer(
  response: OutboundResponse,
  protocol: AwsProtocol,
): Promise<Result<AwsAnswer, AwsFault>> {
  const { status } = response
  const fault = headFault(response, protocol)
  if (fault !== null) {
    await response.body?.cancel()
    return fail(fault)
  }
  const bytes = await readCapped(response.body, MAX_ANSWER_BYTES)
  if (bytes === null) return fail(foreign('too_large', status))
  const text = decoded(bytes)
  if (text === null) return fail(foreign('charset', status))
  return ok({
    status,
    media: MEDIA_TYPES[protocol][0] ?? '',
    text,
    requestId: requestIdOf(response),
  })
}

function headFault(response: OutboundResponse, protocol: AwsProtocol): AwsFault | null {
  const { status } = response
  if (status >= 300 && status < 400) return foreign('redirect', status)
  // Nothing was asked for but identity.
  const coding = header(response, 'content-encoding') ?? 'identity'
  const isOfType = isMediaType(header(response, 'content-type'), MEDIA_TYPES[protocol])
  if (coding.toLowerCase() === 'identity' && isOfType) return null
  // What stands between the broker and AWS says "too many" and "not now" in words of its own.
  if (status === 429 || status >= 500) return refusalFault({ status, code: undefined })
  return foreign(isOfType ? 'encoded' : 'content_type', status)
}

/** Exactly one type, in UTF-8 where it says. */
function isMediaType(value: string | undefined, expected: readonly string[]): boolean {
  const [, media = '', charset] =
    /^\s*([^\s;,]+)\s*(?:;\s*charset="?([^\s;,"]+)"?\s*)?$/i.exec(value ?? '') ?? []
  const isUtf8 = charset === undefined || charset.toLowerCase() === 'utf-8'
  return isUtf8 && expected.includes(media.toLowerCase())
}

/** Undefined where it is absent or stands there twice. */
function header({ headers }: OutboundResponse, name: string): string | undefined {
  const values = headers.filter(([other]) => other === name)
  return values.length === 1 ? values[0]?.[1] : values.length === 0 ? undefined : values.join(',')
}

function requestIdOf(response: OutboundResponse): string | null {
  return shownRequestId(header(response, 'x-amzn-requestid'))
}

/** It is recorded and logged, so it has to look like one. */
export function shownRequestId(text: string | undefined): string | null {
  return text !== undefined && /^[A-Za-z0-9-]{1,64}$/.test(text) ? text : null
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)
  } catch {
    return null
  }
}

export type QueryAnswer = { readonly result: XmlElement; readonly requestId: string | null }

/** The `{action}Result` of a query service's answer; `parameters` without Action and Version. */
export async function queryCall(
  deps: AwsCallDeps,
  call: Pick<AwsCall, 'endpoint' | 'keys'> & {
    readonly action: string
    readonly version: string
    readonly parameters: readonly (readonly [string, string])[]
  },
): Promise<Result<QueryAnswer, AwsFault>> {
  const { endpoint, keys, action, version, parameters } = call
  const form = new URLSearchParams([
    ['Action', action],
    ['Version', version],
    ...parameters.map(pair),
  ])
  const answer = await signedCall(deps, {
    endpoint,
    keys,
    protocol: 'query',
    headers: [['content-type', 'application/x-www-form-urlencoded; charset=utf-8']],
    body: form.toString(),
  })
  return answer.ok ? readQueryAnswer(answer.value, action) : answer
}

function pair([name, value]: readonly [string, string]): [string, string] {
  return [name, value]
}

export function readQueryAnswer(
  { status, text, requestId }: AwsAnswer,
  action: string,
): Result<QueryAnswer, AwsFault> {
  const document = parseXml(text)
  if (status !== 200) return fail(queryRefusal(document, status))
  if (document === null) return fail(foreign(text === '' ? 'empty' : 'not_xml', status))
  const members = [`${action}Result`, 'ResponseMetadata']
  const isOurs =
    document.name === `${action}Response` &&
    document.children.every(({ name }) => members.includes(name)) &&
    hasDistinctMembers(document)
  if (!isOurs) return fail(foreign('shape', status))
  const metadata = childText(child(document, 'ResponseMetadata'), 'RequestId')
  // An action without a result answers with metadata alone.
  const result = child(document, `${action}Result`) ?? NOTHING
  return ok({ result, requestId: requestId ?? shownRequestId(metadata) })
}

const NOTHING: XmlElement = { name: '', text: '', children: [] }

function queryRefusal(document: XmlElement | null, status: number): AwsFault {
  const error = document?.name === 'ErrorResponse' ? child(document, 'Error') : undefined
  const code = childText(error, 'Code')
  if (status < 400 || (code === undefined && status !== 429 && status < 500)) {
    return foreign(document === null ? 'not_xml' : 'shape', status)
  }
  return refusalFault({ status, code, message: childText(error, 'Message') })
}

/** `target` is e.g. `secretsmanager.GetSecretValue`. */
export async function jsonCall(
  deps: AwsCallDeps,
  call: Pick<AwsCall, 'endpoint' | 'keys'> & { readonly target: string; readonly body: JsonObject },
): Promise<Result<JsonObject, AwsFault>> {
  const { endpoint, keys, target, body } = call
  const answer = await signedCall(deps, {
    endpoint,
    keys,
    protocol: 'json',
    headers: [
      ['content-type', 'application/x-amz-json-1.1'],
      ['x-amz-target', target],
    ],
    body: JSON.stringify(body),
  })
  return answer.ok ? readJsonAnswer(answer.value) : answer
}

export function readJsonAnswer({ status, text }: AwsAnswer): Result<JsonObject, AwsFault> {
  const parsed = parseStrictJson(text)
  const document = parsed.ok && isJsonObject(parsed.value) ? parsed.value : null
  if (status === 200) {
    if (document !== null) return ok(document)
    return fail(foreign(text === '' ? 'empty' : 'not_json', status))
  }
  const type = document?.['__type']
  // `com.amazonaws.secretsmanager#ResourceNotFoundException:http://…` in its longest form.
  const code = typeof type === 'string' ? /^(?:.*#)?([^:]*)/.exec(type)?.[1] : undefined
  if (status < 400 || (code === undefined && status !== 429 && status < 500)) {
    return fail(foreign(document === null ? 'not_json' : 'shape', status))
  }
  return fail(refusalFault({ status, code }))
}
