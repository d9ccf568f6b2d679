// AWS Lambda: one app per execution environment, behind Function URLs (buffered or streaming) and API
// Gateway. Lambda bounds what an invocation can carry; what does not fit is an error, never a cut answer.
import { readConfig } from '../config.ts'
import type { Config } from '../config.ts'
import { createNodeOutbound } from '../net/node-outbound.ts'
import type { Platform } from '../platform.ts'
import { createHttpDriver } from '../store/http-driver.ts'
import { awsSdk } from './aws-sdk.ts'
import { lambdaResult, readLambdaEvent, responseHead } from './lambda-events.ts'
import type { LambdaResult } from './lambda-events.ts'
import { entryProblem, logSettingErrors, migratesOnce } from './served-app.ts'
import type { CreateApp, ServedApp } from './served-app.ts'
import { errorFacts, jsonLog, randomIds, sha256Hashing, systemClock } from './system.ts'

type InvocationContext = { getRemainingTimeInMillis(): number }

export type LambdaHandler = (event: unknown, context: InvocationContext) => Promise<unknown>

/** What the managed Node runtime offers for streaming, as far as it is used here. */
type ResponseStream = {
  write(chunk: Uint8Array | string): boolean
  once(event: 'drain' | 'close', listener: () => void): unknown
  off(event: 'drain' | 'close', listener: () => void): unknown
  end(): void
  destroy(error: Error): void
  readonly destroyed: boolean
}

type StreamingRuntime = {
  streamifyResponse(
    handler: (event: unknown, stream: ResponseStream, context: InvocationContext) => Promise<void>,
  ): LambdaHandler
  HttpResponseStream: {
    from(stream: ResponseStream, metadata: Readonly<Record<string, unknown>>): ResponseStream
  }
}

/** 6 MiB of JSON is all that a buffered invocation may return. */
const MAX_RESULT_BYTES = 6 * 1024 * 1024
/** Left at the deadline for recording the outcome. */
const DEADLINE_MARGIN_MS = 500

/** Streams when the Function URL is in RESPONSE_STREAM mode, which only the deployment knows. */
export function createLambdaHandler(createApp: CreateApp): LambdaHandler {
  const serve = lambdaService(createApp)
  const streaming = process.env.SALLYPORT_LAMBDA_STREAMING === '1' ? streamingRuntime() : null
  return streaming === null
    ? async (event, context) => await bufferedResult(await serve(event, context))
    : streaming.streamifyResponse(async (event, stream, context) => {
        const { response, format } = await serve(event, context)
        const head = responseHead(response, format)
        await writeStream(response, streaming.HttpResponseStream.from(stream, { ...head }))
      })
}

type Served = { readonly response: Response; readonly format: '1.0' | '2.0' }
type Environment = {
  readonly app: ServedApp
  readonly config: Config
  readonly migrate: () => Promise<boolean>
}

function lambdaService(
  createApp: CreateApp,
): (event: unknown, context: InvocationContext) => Promise<Served> {
  let environment: Environment | null = null
  return async (event, context) => {
    let format: Served['format'] = '2.0'
    try {
      environment ??= await createEnvironment(createApp)
      if (environment === null) return { response: entryProblem(503, 'misconfigured'), format }
      const { app, config, migrate } = environment
      if (isSchedule(event)) {
        await migrate()
        await app.maintain()
        return { response: new Response(null, { status: 204 }), format }
      }
      const signal = deadline(context)
      const read = readLambdaEvent(event, { issuer: config.issuer, signal })
      if (read === null) return { response: entryProblem(400, 'invalid_request'), format }
      format = read.format
      await migrate()
      return { response: await app.fetch(read.request, read.facts), format }
    } catch (error) {
      jsonLog('error', console.error)('error', 'the app threw', errorFacts(error))
      return { response: entryProblem(500, 'internal_error'), format }
    }
  }
}

/**
 * An EventBridge rule or schedule that invokes the function: time for maintenance. What comes over HTTP
 * always has a requestContext, and a caller writes nothing outside of its request.
 */
function isSchedule(event: unknown): boolean {
  if (typeof event !== 'object' || event === null || 'requestContext' in event) return false
  return 'source' in event && (event.source === 'aws.events' || event.source === 'aws.scheduler')
}

async function createEnvironment(createApp: CreateApp): Promise<Environment | null> {
  const env = (name: string) => process.env[name]
  const read = readConfig(env, { runtime: 'lambda' })
  if (!read.ok) {
    logSettingErrors(jsonLog('error', console.error), read.failure)
    return null
  }
  const config = read.value
  const { databaseUrl: url, databaseAuthToken: authToken } = config
  const platform: Platform = {
    runtime: 'lambda',
    clock: systemClock,
    ids: randomIds,
    hashing: sha256Hashing,
    outbound: createNodeOutbound(),
    driver: createHttpDriver({ url, ...(authToken === undefined ? {} : { authToken }) }),
    awsSdk,
    env,
    log: jsonLog(config.logLevel, console.log),
  }
  const app = await createApp(platform, config)
  return { app, config, migrate: migratesOnce(app, platform) }
}

/** Lambda stops the process without a word at its deadline; the app is told shortly before. */
function deadline(context: InvocationContext): AbortSignal {
  return AbortSignal.timeout(Math.max(1, context.getRemainingTimeInMillis() - DEADLINE_MARGIN_MS))
}

async function bufferedResult({ response, format }: Served): Promise<LambdaResult> {
  const tooLarge = () => lambdaResult(entryProblem(502, 'response_too_large'), format)
  const declared = Number(response.headers.get('content-length') ?? 0)
  if (declared > MAX_RESULT_BYTES) {
    await response.body?.cancel()
    return tooLarge()
  }
  const result = await lambdaResult(response, format).catch(() => null)
  // The body broke off on its way; a buffered entry can still say so.
  if (result === null) return lambdaResult(entryProblem(502, 'upstream_failed'), format)
  return Buffer.byteLength(JSON.stringify(result)) > MAX_RESULT_BYTES ? tooLarge() : result
}

async function writeStream(response: Response, stream: ResponseStream): Promise<void> {
  const reader = response.body?.getReader() ?? null
  try {
    // The metadata travels with the first write; an empty one sends it when there is no body yet.
    stream.write('')
    for (;;) {
      const chunk = await reader?.read()
      if (chunk === undefined || chunk.done) break
      if (stream.destroyed) {
        await reader?.cancel(new DOMException('The client went away', 'AbortError'))
        return
      }
      if (!stream.write(chunk.value)) await drained(stream)
    }
    stream.end()
  } catch {
    // Ends the transfer with an error, so that nobody takes half an answer for a whole one.
    stream.destroy(new Error('The answer broke off'))
  }
}

async function drained(stream: ResponseStream): Promise<void> {
  await new Promise<void>((resolve) => {
    const settle = () => {
      stream.off('drain', settle)
      stream.off('close', settle)
      resolve()
    }
    stream.once('drain', settle)
    stream.once('close', settle)
  })
}

function streamingRuntime(): StreamingRuntime | null {
  const runtime: unknown = Reflect.get(globalThis, 'awslambda')
  // The managed runtime defines it; there are no types for it that could be imported.
  return typeof runtime === 'object' && runtime !== null ? (runtime as StreamingRuntime) : null
}
