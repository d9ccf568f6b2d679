// `sallyport audit list` and `tail`: the trail, as a table or one event a line.
import { createBrokerClient, membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'
import { cell, table } from './table.ts'

export type AuditOptions = {
  readonly server?: string
  readonly session?: string
  readonly decision?: string
  readonly type?: string
  readonly origin?: string
  readonly originAttested?: string
  readonly limit: string
  readonly json?: boolean
}

const FILTERS = [
  ['session', 'session'],
  ['decision', 'decision'],
  ['type', 'type'],
  ['origin', 'origin'],
  ['originAttested', 'origin_attested'],
] as const satisfies readonly (readonly [keyof AuditOptions, string])[]

const PAGE = 200
const POLL_MS = 1000
const COLUMNS = [
  'seq',
  'time',
  'type',
  'identity',
  'origin',
  'action',
  'outcome',
  'reason',
  'decision',
]

type Event = Readonly<Record<string, unknown>>

export async function auditList(options: AuditOptions, io: CliIo): Promise<void> {
  const limit = Number(options.limit)
  if (!Number.isSafeInteger(limit) || limit < 1) throw usage('--limit must be a whole number')
  const read = auditReader(options, io)
  const events: Event[] = []
  let cursor: string | null = null
  do {
    const page = await read(cursor, Math.min(PAGE, limit - events.length))
    events.push(...page.events)
    cursor = page.next
  } while (cursor !== null && events.length < limit)
  print(events, options, io)
}

/** Prints what is there and then what comes, until the process is ended or `polls` are over. */
export async function auditTail(
  options: AuditOptions,
  io: CliIo,
  polls = Number.POSITIVE_INFINITY,
): Promise<void> {
  const read = auditReader(options, io)
  let cursor: string | null = null
  let seen = 0
  for (let poll = 0; poll < polls;) {
    const page = await read(cursor, PAGE)
    const fresh = page.events.filter((event) => seqOf(event) > seen)
    seen = Math.max(seen, ...fresh.map(seqOf))
    if (fresh.length > 0) print(fresh, options, io)
    if (page.next !== null) cursor = page.next
    else {
      poll++
      await io.sleep(POLL_MS)
    }
  }
}

function auditReader(options: AuditOptions, io: CliIo) {
  const client = createBrokerClient(io, options.server)
  return async (cursor: string | null, limit: number) => {
    const query = new URLSearchParams({ limit: String(limit) })
    if (cursor !== null) query.set('cursor', cursor)
    for (const [filter, parameter] of FILTERS) {
      const value = options[filter]
      if (value !== undefined) query.set(parameter, value)
    }
    const body = membersOf((await client.admin('GET', `/audit?${query.toString()}`)).body)
    const items = Array.isArray(body['items']) ? body['items'] : []
    const next = body['next_cursor']
    return { events: items.map(membersOf), next: typeof next === 'string' ? next : null }
  }
}

function print(events: readonly Event[], options: AuditOptions, io: CliIo): void {
  if (options.json) {
    for (const event of events) io.out(JSON.stringify(event))
    return
  }
  if (events.length === 0) return io.err('no events')
  io.out(table(COLUMNS, events.map(eventRow)))
}

function eventRow(event: Event): string[] {
  return [
    cell(event['seq']),
    cell(event['time']),
    cell(event['type']),
    cell(event['identity'], '-'),
    originText(event['origin']),
    actionText(event['action']),
    outcomeText(event['outcome']),
    cell(event['reason']),
    cell(event['decision_id']),
  ]
}

/** What was declared, and in brackets what a token proved. */
export function originText(origin: unknown): string {
  const { declared, attested } = membersOf(origin)
  const proven = cell(membersOf(attested)['kind'])
  return `${cell(membersOf(declared)['kind'], '-')}${proven === '' ? '' : ` (${proven})`}`
}

/** What was done, in a few words: name, method and path or target, as the event has them. */
export function actionText(action: unknown): string {
  const members = membersOf(action)
  // A method and a path say it all; other actions have objects instead.
  const rest = members['path'] === undefined ? ['objects', 'targets'] : ['method', 'path']
  const words = ['name', 'operation', 'target', ...rest]
    .map((name) => cell(members[name]))
    .filter((word) => word !== '')
  return words.length === 0 ? '-' : words.join(' ')
}

export function outcomeText(outcome: unknown): string {
  const members = membersOf(outcome)
  const word = members['verdict'] ?? members['result'] ?? members['outcome']
  const status = members['status']
  const text = typeof word === 'string' ? word : JSON.stringify(outcome)
  return typeof status === 'number' ? `${text} ${status}` : text
}

function seqOf(event: Event): number {
  return typeof event['seq'] === 'number' ? event['seq'] : 0
}
