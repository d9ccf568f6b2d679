// What a broker says of itself without a token: is it there, ready, on time, and who it claims to be.
import { type BrokerAnswer, type BrokerClient, membersOf } from './broker-client.ts'
import type { Check } from './doctor.ts'
import { CliError, type CliIo } from './io.ts'

/** Tokens are judged with this leeway: a clock that is off by more refuses good ones. */
const CLOCK_FAIL_SECONDS = 60
const CLOCK_WARN_SECONDS = 5

/** The first check is whether the broker answers at all. */
export async function brokerChecks(client: BrokerClient, io: CliIo): Promise<Check[]> {
  const health = await tried(() => client.get('/healthz'))
  if (health instanceof CliError) {
    const fix = 'start it (sallyport serve), or set SALLYPORT_URL or --server'
    return [{ check: 'broker', status: 'FAIL', detail: health.message, fix }]
  }
  const checks: Check[] = [{ check: 'broker', status: 'OK', detail: `${client.server} answers` }]
  checks.push(clockCheck(health.headers.get('date'), io.nowMs()))

  const ready = await tried(() => client.get('/readyz'))
  checks.push(
    ready instanceof CliError
      ? {
          check: 'store, keys, migrations',
          status: 'FAIL',
          detail: 'the broker says that it is not ready',
          fix: 'look for "store unavailable" or "migrations" in its log; check DATABASE_URL',
        }
      : { check: 'store, keys, migrations', status: 'OK', detail: JSON.stringify(ready.body) },
  )
  checks.push(
    await issuerCheck(client),
    await keyCheck(client, 'signing keys', ''),
    await keyCheck(client, 'federation keys', '/federation'),
  )
  return checks
}

function clockCheck(date: string | null, nowMs: number): Check {
  const check = 'clock'
  const serverMs = date === null ? Number.NaN : Date.parse(date)
  if (Number.isNaN(serverMs)) {
    return { check, status: 'WARN', detail: 'the broker does not say what time it is' }
  }
  const apart = Math.round(Math.abs(serverMs - nowMs) / 1000)
  const detail = `${apart} s between the broker and this machine`
  if (apart <= CLOCK_WARN_SECONDS) return { check, status: 'OK', detail }
  const status = apart > CLOCK_FAIL_SECONDS ? 'FAIL' : 'WARN'
  return { check, status, detail, fix: 'synchronise both clocks (NTP)' }
}

async function issuerCheck(client: BrokerClient): Promise<Check> {
  const check = 'issuer'
  const answer = await tried(() => client.get('/.well-known/oauth-authorization-server'))
  const issuer = answer instanceof CliError ? undefined : membersOf(answer.body)['issuer']
  if (issuer === client.server) return { check, status: 'OK', detail: client.server }
  return {
    check,
    status: 'WARN',
    detail: `the broker calls itself ${String(issuer)}, and was reached as ${client.server}`,
    fix: 'set SALLYPORT_ISSUER to the public origin of the broker',
  }
}

async function keyCheck(client: BrokerClient, check: string, base: string): Promise<Check> {
  const answer = await tried(() => client.get(`${base}/.well-known/jwks.json`))
  const keys = answer instanceof CliError ? undefined : membersOf(answer.body)['keys']
  const count = Array.isArray(keys) ? keys.length : 0
  if (count > 0) return { check, status: 'OK', detail: `${count} published` }
  const fix = 'check SALLYPORT_KEK: keys sealed under another KEK cannot be opened'
  return { check, status: 'FAIL', detail: 'no key is published', fix }
}

export async function tried(call: () => Promise<BrokerAnswer>): Promise<BrokerAnswer | CliError> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof CliError) return error
    throw error
  }
}
