// What the adapters need of the app, and what all of them do around it: migrate once, and answer
// without it when there is nothing to ask.
import type { Config, SettingError } from '../config.ts'
import type { JsonValue } from '../core/identity.ts'
import type { DocumentError } from '../core/policy.ts'
import type { Result } from '../core/result.ts'
import type { Platform, RequestFacts } from '../platform.ts'
import { errorFacts } from './system.ts'

export type ServedApp = {
  fetch(request: Request, facts: RequestFacts): Promise<Response>
  ready(): Promise<void>
  migrate(): Promise<void>
  applyPolicy(document: JsonValue): Promise<Result<number, readonly DocumentError[]>>
  maintain(): Promise<void>
  close(): Promise<void>
}

export type CreateApp = (platform: Platform, config: Config) => Promise<ServedApp>

/** After a failed migration requests go on unmigrated; this long passes before it is tried again. */
const MIGRATION_RETRY_MS = 1000

/**
 * Migrates before the first request and again after a failure. It never throws: without a store the
 * app still has to answer health checks, refusals and 503 by itself. The promise is not shared between
 * requests, because workerd cancels the I/O of a request that goes away and the others would hang;
 * migrations are idempotent instead.
 */
export function migratesOnce(app: ServedApp, platform: Platform): () => Promise<boolean> {
  let isMigrated = false
  let nextTryMs = 0
  return async () => {
    if (isMigrated || platform.clock.nowMs() < nextTryMs) return isMigrated
    try {
      await app.migrate()
      isMigrated = true
    } catch (error) {
      nextTryMs = platform.clock.nowMs() + MIGRATION_RETRY_MS
      platform.log('error', 'migrations could not be applied', errorFacts(error))
    }
    return isMigrated
  }
}

/** Often enough for keys to rotate on time; each run is a few statements when there is nothing to do. */
export const MAINTENANCE_INTERVAL_MS = 10 * 60 * 1000

/** Maintains once and logs what went wrong: nobody waits for it, and the next run tries again. */
export async function maintain(app: ServedApp, log: Platform['log']): Promise<void> {
  try {
    await app.maintain()
  } catch (error) {
    log('warn', 'maintenance failed', errorFacts(error))
  }
}

/** An RFC 9457 problem for what goes wrong outside the app. It says nothing about the inside. */
export function entryProblem(status: number, code: string): Response {
  const body = JSON.stringify({ type: 'about:blank', title: titles[code] ?? code, status, code })
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
  }
  if (status === 503) headers['retry-after'] = '1'
  return new Response(body, { status, headers })
}

const titles: Readonly<Record<string, string>> = {
  invalid_request: 'The request cannot be understood',
  method_not_allowed: 'The method is not allowed',
  headers_too_large: 'There are too many headers',
  upstream_failed: 'The answer broke off',
  misconfigured: 'The broker is not configured',
  response_too_large: 'The answer is larger than this entry can carry',
  internal_error: 'Internal error',
}

/** Where a process cannot refuse to start, it refuses every request and says why in its log. */
export function logSettingErrors(log: Platform['log'], errors: readonly SettingError[]): void {
  for (const { setting, message } of errors)
    log('error', 'setting refused', { setting, mend: message })
}
