// `sallyport sessions`, `revoke`, `narrow`, `suspend` and `restore`: what is open, why it stands as it
// does, and how to change that.
import { createBrokerClient, membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'
import { cell, table } from './table.ts'

type Shared = { readonly server?: string; readonly json?: boolean }

const SELECTORS = ['method', 'identity', 'target', 'binding', 'agent', 'issuer'] as const
type Selection = { readonly [selector in (typeof SELECTORS)[number]]?: string }

export async function listSessions(
  options: Shared & Selection & { readonly state?: string; readonly root?: string },
  io: CliIo,
): Promise<void> {
  const query = new URLSearchParams()
  for (const name of [...SELECTORS, 'root', 'state'] as const) {
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
      whyText(session['state_change']),
      cell(session['identity']),
      behalfText(session['on_behalf_of']),
      cell(session['parent']) || '-',
      cell(session['expires_at']),
      cell(session['scope']),
    ])
  io.out(table(['session', 'state', 'why', 'identity', 'for', 'parent', 'expires', 'scope'], rows))
  if (typeof next === 'string') io.err('there are more: narrow the selection, or use --json')
}

function behalfText(behalf: unknown): string {
  return cell(membersOf(behalf)['identity']) || '-'
}

function whyText(change: unknown): string {
  const { reason, action } = membersOf(change)
  const { reason: words, event } = membersOf(action)
  return (
    [reason, event, words]
      .map((one) => cell(one))
      .filter((one) => one !== '')
      .join(': ') || '-'
  )
}

/** `suspend` needs a reason; the broker says so. */
export async function changeState(
  change: 'narrow' | 'suspend' | 'restore',
  session: string,
  options: Shared & {
    readonly reason?: string
    readonly effect?: readonly string[]
    readonly stateEvent?: string
  },
  io: CliIo,
): Promise<void> {
  const { reason, effect, stateEvent } = options
  const client = createBrokerClient(io, options.server)
  const path = `/sessions/${encodeURIComponent(session)}/${change}`
  const { body } = await client.admin('POST', path, {
    ...(effect === undefined ? {} : { effects: effect }),
    ...(reason === undefined ? {} : { reason }),
    ...(stateEvent === undefined ? {} : { state_event: stateEvent }),
  })
  if (options.json) io.out(JSON.stringify(body))
  else io.out(`state: ${String(membersOf(body)['state'])}`)
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
  else {
    const { revoked, aws_honours_until: until } = membersOf(body)
    io.out(`revoked: ${String(revoked)}`)
    if (typeof until === 'string') io.err(`AWS honours what was handed over until ${until}`)
  }
}
