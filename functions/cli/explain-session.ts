// `sallyport explain ses_…` and `dec_…`: how a session stands and why, who brought it about, what was given
// back; and what a decision was. All of it is what the broker says; nothing is worked out here.
import { actionText, outcomeText } from './audit.ts'
import { type BrokerClient, createBrokerClient, membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'
import { cell, table } from './table.ts'

type Members = Readonly<Record<string, unknown>>

export type StandingReport = {
  /** Events of the decision that was asked for. */
  readonly decision: readonly Members[] | null
  readonly session: Members | null
  /** Those of the sessions above that hold it: as they are. */
  readonly held_by: readonly Members[]
  /** Changes of its own state, oldest first. */
  readonly changes: readonly Members[]
}

export async function explainRecorded(
  id: string,
  options: { readonly server?: string; readonly json?: boolean },
  io: CliIo,
): Promise<void> {
  if (!/^(ses|dec)_[\w-]{1,128}$/.test(id)) {
    throw usage('name a session (ses_…) or a decision (dec_…), or give a token')
  }
  const client = createBrokerClient(io, options.server)
  const report = await read(id, client)
  if (options.json) io.out(JSON.stringify(report))
  else print(report, io)
}

async function read(id: string, client: BrokerClient): Promise<StandingReport> {
  const isDecision = id.startsWith('dec_')
  const decision = isDecision ? await eventsOf(client, { decision: id }) : null
  if (decision?.length === 0) throw usage(`there is no decision ${id}`)
  const found = decision?.map((event) => event['session_id']).find((one) => one !== null) ?? null
  const sessionId = isDecision ? found : id
  if (typeof sessionId !== 'string') {
    return { decision, session: null, held_by: [], changes: [] }
  }
  const session = await sessionOf(client, sessionId)
  const holding = listOf(session['ancestors']).filter(({ state }) => state !== 'active')
  return {
    decision,
    session,
    held_by: await Promise.all(
      holding.map(async (one) => ({ ...(await sessionOf(client, String(one['id']))), ...one })),
    ),
    changes: [
      ...(await eventsOf(client, { session: sessionId, type: 'state' })),
      ...(await eventsOf(client, { session: sessionId, type: 'revocation' })),
    ],
  }
}

async function sessionOf(client: BrokerClient, id: string): Promise<Members> {
  const answer = await client.admin('GET', `/sessions/${encodeURIComponent(id)}?limit=1`)
  return membersOf(answer.body)
}

async function eventsOf(
  client: BrokerClient,
  filter: Readonly<Record<string, string>>,
): Promise<readonly Members[]> {
  const query = new URLSearchParams({ ...filter, limit: '200' })
  return listOf(membersOf((await client.admin('GET', `/audit?${query.toString()}`)).body)['items'])
}

function listOf(value: unknown): readonly Members[] {
  return Array.isArray(value) ? value.map(membersOf) : []
}

function print({ decision, session, held_by: holding, changes }: StandingReport, io: CliIo): void {
  if (decision !== null) {
    io.out(table(['time', 'event', 'identity', 'action', 'outcome', 'reason'], decision.map(row)))
  }
  if (session === null) return io.out('no session came of it')
  if (decision !== null) io.out('')
  const facts = [
    ['session', cell(session['id'])],
    ['identity', cell(session['identity'])],
    ['state', cell(session['state'])],
    ...standing(session, holding),
    ['removed', words(session['removed_effects'])],
    ['denials', cell(session['denials'])],
    ['expires', cell(session['expires_at'])],
  ]
  io.out(table(['', ''], facts).trimStart())
  if (holding.length > 0) {
    io.out('\nheld by sessions that it descends from')
    io.out(
      table(
        ['session', 'identity', 'state', 'removed', 'since', 'why', 'by'],
        holding.map((one) => [
          cell(one['id']),
          cell(one['identity']),
          cell(one['state']),
          words(one['removed_effects']),
          ...changeCells(one),
        ]),
      ),
    )
  }
  if (changes.length === 0) return
  io.out('\nchanges')
  io.out(
    table(
      ['time', 'change', 'by', 'why', 'took', 'from'],
      changes.map((event) => {
        const { operation, removed_effects: took, from, state } = membersOf(event['action'])
        return [
          cell(event['time']),
          cell(operation ?? state),
          byOf(event),
          whyOf(event),
          words(took),
          fromText(from),
        ]
      }),
    ),
  )
}

/** Its own last change, or that it is another's. */
function standing(session: Members, holding: readonly Members[]): string[][] {
  const { state, own_state: own } = session
  const culprit = holding.find((one) => one['state'] === state && own !== state)
  if (culprit !== undefined) {
    const [since = '', why = '', by = ''] = changeCells(culprit)
    const whose = `${cell(culprit['id'])}, which it descends from`
    return [
      ['since', since],
      ['why', `${whose}: ${why}`],
      ['by', by],
    ]
  }
  const [since = '', why = '', by = ''] = changeCells(session)
  return [
    ['since', since],
    ['why', why],
    ['by', by],
  ]
}

/** Since when, why, by whom. What has ended and was not changed ended with its time. */
function changeCells(session: Members): string[] {
  const change = session['state_change']
  const { state, own_state: own } = session
  if (state === 'ended' && own !== 'ended') {
    return [cell(session['expires_at']), 'its time was over', '-']
  }
  if (change === null || change === undefined) {
    return [cell(session['created_at']), 'as it was opened', '-']
  }
  const event = membersOf(change)
  return [cell(event['time']), whyOf(event), cell(event['by'], '-')]
}

function byOf(event: Members): string {
  return cell(event['identity'] ?? event['by'] ?? membersOf(event['outcome'])['by'], '-')
}

function whyOf(event: Members): string {
  const { reason: said, event: what } = membersOf(event['action'])
  const parts = [event['reason'], what, said].map((one) => cell(one)).filter((one) => one !== '')
  return parts.join(': ') || '-'
}

function fromText(from: unknown): string {
  const { state, removed_effects: removed } = membersOf(from)
  if (state === undefined) return '-'
  const gone = words(removed)
  return gone === '-' ? cell(state) : `${cell(state)} (without ${gone})`
}

function words(list: unknown): string {
  return Array.isArray(list) && list.length > 0 ? list.map((one) => cell(one)).join(' ') : '-'
}

function row(event: Members): string[] {
  return [
    cell(event['time']),
    cell(event['type']),
    cell(event['identity'], '-'),
    actionText(event['action']),
    outcomeText(event['outcome']),
    cell(event['reason'], '-'),
  ]
}
