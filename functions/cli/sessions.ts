// `sallyport sessions` and `sallyport revoke`: what is open, and how to end it.
import { createBrokerClient, membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'
import { cell, table } from './table.ts'

type Shared = { readonly server?: string; readonly json?: boolean }

const SELECTORS = ['method', 'identity', 'target', 'binding', 'agent', 'issuer'] as const
type Selection = { readonly [selector in (typeof SELECTORS)[number]]?: string }

export async function listSessions(
  options: Shared & Selection & { readonly state?: string },
  io: CliIo,
): Promise<void> {
  const query = new URLSearchParams()
  for (const name of [...SELECTORS, 'state'] as const) {
    const value = options[name]
    if (value !== undefined) query.set(name, value)
  }
  const client = createBrokerClient(io, options.server)
  const { body } = await client.admin('GET', `/sessions?${query.toString()}`)
  if (options.json) return io.out(JSON.stringify(body))
  const { items, next_cursor: next } = membersOf(body)
  const rows = (Array.isArray(items) ? items : [])
    .map(membersOf)
    .map((session) => [
      cell(session['id']),
      cell(session['state']),
      cell(session['identity']),
      cell(session['expires_at']),
      cell(session['scope']),
    ])
  io.out(table(['session', 'state', 'identity', 'expires', 'scope'], rows))
  if (typeof next === 'string') io.err('there are more: narrow the selection, or use --json')
}

/** One session by id, or all that a selection names. */
export async function revoke(
  session: string | undefined,
  options: Shared & Selection & { readonly reason?: string },
  io: CliIo,
): Promise<void> {
  const selection = Object.fromEntries(
    SELECTORS.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  )
  const bySelection = Object.keys(selection).length > 0
  if ((session === undefined) !== bySelection) {
    throw usage('name one session, or select by --method, --identity, --target, …; not both')
  }
  const reason = options.reason === undefined ? {} : { reason: options.reason }
  const path = session === undefined ? '' : `/${encodeURIComponent(session)}`
  const client = createBrokerClient(io, options.server)
  const { body } = await client.admin('POST', `/sessions${path}/revoke`, {
    ...selection,
    ...reason,
  })
  if (options.json) io.out(JSON.stringify(body))
  else io.out(`revoked: ${String(membersOf(body)['revoked'])}`)
}
