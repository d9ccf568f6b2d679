// The figures of one run as a table for people. Each stands beside its floor, as a ratio.
import type { CredentialFigures } from './credentials.ts'
import type { BindingFigures, Memory } from './growth.ts'
import type { Cost, MethodFigures } from './methods.ts'
import type { NodePaths, Pair } from './paths.ts'
import type { Figures } from './run-load.ts'
import type { PathRoundTrips, RoundTrips } from './round-trips.ts'
import type { Size } from './sizes.ts'
import type { StartTimes } from './starts.ts'
import type { WorkerPaths } from './worker.ts'

export type Machine = {
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly node: string
    readonly date: string
    readonly loadAverage: number
  }
}

/** What is measured in one process. */
export type MethodReport = Machine & { readonly methods: MethodFigures }

export type CredentialReport = Machine & { readonly credentials: CredentialFigures }

export type Report = MethodReport & {
  readonly node: NodePaths
  readonly worker: WorkerPaths | null
  readonly roundTrips: PathRoundTrips
  readonly sizes: readonly Size[]
  readonly starts: StartTimes
  readonly bindings: BindingFigures | null
  readonly credentials: CredentialFigures | null
  readonly memory: readonly Memory[] | null
}

const ratio = (figure: number, floor: number) => (figure / floor).toFixed(2)

export function tableOf(report: Report): string {
  return [
    machine(report),
    paths(report),
    worker(report),
    credentials(report),
    counts(report),
    methods(report),
    starts(report),
    growth(report),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

/** The table of a run that measured the methods alone. */
export function methodTableOf(report: MethodReport): string {
  return `${machine(report)}\n\n${methods(report)}`
}

function machine({ machine: m }: Machine): string {
  return [
    `${m.cpu}, ${m.cores} cores, shared by the broker, the origin and the load generator`,
    `Node ${m.node}, ${m.date}, load average before the run ${m.loadAverage.toFixed(2)}`,
  ].join('\n')
}

type Line = readonly [name: string, pair: Pair, against: string, note: string]

function paths({ node }: Report): string {
  const { bareFloor, servedFloor, hello, exchange, direct, action } = node
  const perSecond = (mine: Pair, floor: Pair) =>
    `${ratio(mine.one.perSecond, floor.one.perSecond)} / ${ratio(mine.sixteen.perSecond, floor.sixteen.perSecond)}`
  const added = (mine: Pair, floor: Pair) =>
    `+${(mine.one.p50Ms - floor.one.p50Ms).toFixed(2)} / +${(mine.sixteen.p50Ms - floor.sixteen.p50Ms).toFixed(2)} ms p50`
  return lines('Node, embedded file, WAL, an fsync before every answer, group commit', [
    ['hello world (Hono)', hello, '', ''],
    ['floor, no HTTP', bareFloor, '', ''],
    ['floor, served', servedFloor, '', ''],
    ['exchange', exchange, perSecond(exchange, servedFloor), 'of the served floor'],
    ['', exchange, perSecond(exchange, bareFloor), 'of the floor without HTTP'],
    ['direct call', direct, '', ''],
    ['action', action, added(action, direct), 'over the direct call'],
  ])
}

function worker(report: Report): string {
  if (report.worker === null) return ''
  const { hello, exchange, action } = report.worker
  const over = (mine: Pair) =>
    `${ratio(mine.one.p50Ms, hello.one.p50Ms)} / ${ratio(hello.sixteen.perSecond, mine.sixteen.perSecond)}`
  return lines('Worker bundle in workerd, local D1, through the local harness', [
    ['healthz', hello, '', ''],
    ['exchange', exchange, over(exchange), 'times healthz (p50 at 1, cost at 16)'],
    ['action', action, over(action), 'times healthz (p50 at 1, cost at 16)'],
  ])
}

function credentials(report: { readonly credentials: CredentialFigures | null }): string {
  if (report.credentials === null) return ''
  const { handle, sts, byRole, byWebIdentity, endpoint } = report.credentials
  const own = (mine: Pair) =>
    `${ratio(mine.one.p50Ms - sts.one.p50Ms, handle.one.p50Ms)} / ${ratio(mine.sixteen.cpuMicros ?? NaN, handle.sixteen.cpuMicros ?? NaN)}`
  const note = 'of a handle: own share of p50 at 1, CPU at 16'
  return lines('An AWS credential handed over, Node, a fake STS on loopback', [
    ['handle', handle, '', ''],
    ['the call to STS', sts, '', ''],
    ['credential, role', byRole, own(byRole), note],
    ['credential, web id.', byWebIdentity, own(byWebIdentity), note],
    ['container endpoint', endpoint, own(endpoint), note],
  ])
}

/** The table of a run that measured what is handed over alone. */
export function credentialTableOf(report: CredentialReport): string {
  return `${machine(report)}\n\n${credentials(report)}`
}

function lines(title: string, rows: readonly Line[]): string {
  const head = `${''.padEnd(20)}${cells(['/s', 'p50 ms', 'p99 ms', 'CPU us'])}  |${cells(['/s', 'p50 ms', 'p99 ms', 'CPU us'])}  against (1 / 16)`
  const body = rows.map(([name, pair, against, note]) => {
    const figures =
      name === '' ? ' '.repeat(CELL * 8 + 3) : `${row(pair.one)}  |${row(pair.sixteen)}`
    return `${name.padEnd(20)}${figures}  ${against} ${note}`.trimEnd()
  })
  const over = `${''.padEnd(20)}${'1 connection'.padStart(CELL * 4)}  |${'16 connections'.padStart(CELL * 4)}`
  return [title, over, head, ...body].join('\n')
}

const CELL = 9

function row(figures: Figures): string {
  const { perSecond, p50Ms, p99Ms, cpuMicros } = figures
  return cells([
    perSecond.toFixed(0),
    p50Ms.toFixed(2),
    p99Ms.toFixed(2),
    cpuMicros === null ? '-' : cpuMicros.toFixed(0),
  ])
}

function cells(texts: readonly string[]): string {
  return texts.map((text) => text.padStart(CELL)).join('')
}

function counts({ roundTrips, sizes }: Report): string {
  const trips = ({ reads, writes }: RoundTrips) => `${reads} read, ${writes} write`
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`
  return [
    'Round trips to the store, warm',
    `  exchange  ${trips(roundTrips.exchange)}   (at most 1 and 2)`,
    `  action    ${trips(roundTrips.action)}   (at most 1 and 2)`,
    '',
    'Bundles              at start        gzipped   on demand        gzipped',
    ...sizes.map(
      ({ name, start, onDemand }) =>
        `  ${name.padEnd(8)}${[start.bytes, start.gzip, onDemand.bytes, onDemand.gzip].map((bytes) => kib(bytes).padStart(14)).join('')}`,
    ),
  ].join('\n')
}

const NAME = 34

function methods({ methods: { methods: verified, refusals } }: MethodReport): string {
  const costs = (cost: Cost | null, digits: number) =>
    cells([cost?.micros.toFixed(digits) ?? '-', cost?.cpuMicros.toFixed(digits) ?? '-'])
  const title = (name: string, texts: readonly string[]) => `${name.padEnd(NAME)}${cells(texts)}`
  return [
    'One attestation, in the process, keys cached: us one at a time, CPU us 16 at a time',
    title('accepted', ['us', 'CPU us', 'bare us', 'CPU us', 'ratio', 'of CPU']),
    ...verified.map(
      ({ name, cost, bare, ratio: of }) =>
        `  ${name.padEnd(NAME - 2)}${costs(cost, 0)}${costs(bare, 0)}${costs(of, 2)}`,
    ),
    '',
    title('refused on its form', ['us', 'CPU us', 'requests']),
    ...refusals.map(
      ({ name, cost, outboundRequests }) =>
        `  ${name.padEnd(NAME - 2)}${costs(cost, 1)}${cells([String(outboundRequests)])}`,
    ),
  ].join('\n')
}

function starts({ starts: s }: Report): string {
  const ms = (time: number) => `${time.toFixed(0)} ms`.padStart(10)
  return [
    'Start',
    `  node -e 0                         ${ms(s.bareNodeMs)}`,
    `  Node, spawn to first answer       ${ms(s.nodeMs)}   ${ratio(s.nodeMs, s.bareNodeMs)} of node -e 0`,
    `  Lambda, import of the bundle      ${ms(s.lambdaImportMs)}`,
    `  quickstart, all of it             ${ms(s.quickstartMs)}`,
  ].join('\n')
}

function growth({ bindings, memory }: Report): string {
  const parts: string[] = []
  if (bindings !== null) {
    const { ten, hundredThousand } = bindings
    parts.push(
      'Exchange at 1 connection with 10 bindings and with 100,000',
      `  p50 ${ten.p50Ms.toFixed(2)} ms and ${hundredThousand.p50Ms.toFixed(2)} ms: ${ratio(hundredThousand.p50Ms, ten.p50Ms)}`,
    )
  }
  if (memory !== null) {
    parts.push(
      `${parts.length === 0 ? '' : '\n'}Memory of the Node process: resident, and in use after a full collection`,
      ...memory.map(
        ({ exchanges, rssMiB, heapMiB }) =>
          `  after ${String(exchanges).padStart(7)} exchanges ${rssMiB.toFixed(0).padStart(6)} MiB ${heapMiB.toFixed(1).padStart(7)} MiB`,
      ),
    )
  }
  return parts.join('\n')
}
