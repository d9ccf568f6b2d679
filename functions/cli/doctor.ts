// `sallyport doctor`: what would stop the broker from working, or make it less safe than it looks; each
// line with how to mend it. Checks only look; the store's self-test writes to a table of its own.
import { createBrokerClient } from './broker-client.ts'
import { brokerChecks } from './doctor-broker.ts'
import { policyChecks } from './doctor-policy.ts'
import { storeChecks } from './doctor-store.ts'
import { CliError, type CliIo, EXIT } from './io.ts'
import { table } from './table.ts'

type CheckStatus = 'OK' | 'WARN' | 'FAIL'

export type Check = {
  readonly check: string
  readonly status: CheckStatus
  readonly detail: string
  /** How to mend it; absent when there is nothing to mend. */
  readonly fix?: string
}

export type DoctorOptions = {
  readonly server?: string
  /** Also checks the settings and the store that this environment names. */
  readonly store?: boolean
  readonly json?: boolean
}

export async function doctor(options: DoctorOptions, io: CliIo): Promise<void> {
  const client = createBrokerClient(io, options.server)
  const checks: Check[] = []
  if (options.store) checks.push(...(await storeChecks(io)))
  const broker = await brokerChecks(client, io)
  checks.push(...broker)
  const isReachable = broker[0]?.status !== 'FAIL'
  if (isReachable) checks.push(...(await policyChecks(client, io)))
  checks.push(...adminTokenChecks(io.env('SALLYPORT_ADMIN_TOKEN')))

  const failed = checks.filter(({ status }) => status === 'FAIL').length
  if (options.json) io.out(JSON.stringify({ ok: failed === 0, checks }))
  else print(checks, io)
  if (failed === 0) return
  const exitCode = isReachable ? EXIT.refused : EXIT.unavailable
  // With --json the checks are printed already; the error carries no second document.
  throw new CliError(exitCode, `${failed} of ${checks.length} checks failed`, null)
}

function print(checks: readonly Check[], io: CliIo): void {
  const rows = checks.flatMap(({ check, status, detail, fix }) => [
    [status, check, detail],
    ...(fix === undefined || status === 'OK' ? [] : [['', '', `mend: ${fix}`]]),
  ])
  io.out(table(['', 'check', ''], rows))
}

const MIN_TOKEN_CHARACTERS = 32
const MIN_DISTINCT_CHARACTERS = 12

function adminTokenChecks(token: string | undefined): Check[] {
  const check = 'admin token'
  if (token === undefined || token === '') {
    return [{ check, status: 'OK', detail: 'SALLYPORT_ADMIN_TOKEN is not set here' }]
  }
  // A handle of an administrator: short-lived, and bound to an identity.
  if (token.split('.').length === 3) {
    return [{ check, status: 'OK', detail: 'a handle is used instead of the set-up token' }]
  }
  const isWeak =
    token.length < MIN_TOKEN_CHARACTERS || new Set(token).size < MIN_DISTINCT_CHARACTERS
  return [
    {
      check,
      status: isWeak ? 'FAIL' : 'WARN',
      detail: isWeak ? 'the token can be guessed' : 'the set-up token is still in use',
      fix: isWeak
        ? 'use 32 random bytes, e.g. from: openssl rand -base64 32'
        : 'bind administrators to the target sallyport-admin, then unset SALLYPORT_ADMIN_TOKEN',
    },
  ]
}
