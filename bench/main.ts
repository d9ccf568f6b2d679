// `npm run bench`: what the two paths cost on this machine, and beside each figure, from the same run,
// the least that it could be. Prints a table, keeps the JSON in .cache/bench/.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { measureBindings, measureMemory, MEMORY_OPTIONS } from './growth.ts'
import { measureCredentials } from './credentials.ts'
import { measureMethods, type MethodLength } from './methods.ts'
import { type Length, measureNodePaths } from './paths.ts'
import { startNodeBroker, startPeer } from './processes.ts'
import { credentialTableOf, type Machine, methodTableOf, type Report, tableOf } from './report.ts'
import { countRoundTrips } from './round-trips.ts'
import { buildBundles, bundleSizes } from './sizes.ts'
import { measureStarts } from './starts.ts'
import { ADMIN_TOKEN, API_KEY, configure, type Issuer, policyOf, startIssuer } from './world.ts'
import { measureWorkerPaths } from './worker.ts'

const HELP = `npm run bench [-- options]

Builds the bundles and measures them on this machine, over loopback only. About seven minutes.

  --quick      short runs without the Worker and the bindings: for a look, not for a record
  --methods    only what it costs to verify one attestation of each kind (half a minute)
  --credentials  only an AWS credential handed over, beside a handle (two minutes)
  --memory     also the memory over 100,000 exchanges (some four minutes more)
  --no-worker  without the Worker bundle
  --no-build   measures what stands in dist/
  --json       prints the JSON instead of the table
  --help       this text

The JSON of each run is kept as .cache/bench/<time>.json and .cache/bench/latest.json, that of --methods
as .cache/bench/methods-<time>.json and .cache/bench/methods-latest.json, of --credentials likewise.
docs/benchmarks.md tells how to read it.`

const FULL: Length = { warmUpRequests: 12_000, seconds: 3, rounds: 5 }
const QUICK: Length = { warmUpRequests: 2_000, seconds: 1, rounds: 1 }
/** The Worker is several times slower here; its figures are for comparison with themselves. */
const WORKER: Length = { warmUpRequests: 1_500, seconds: 3, rounds: 3 }
const BINDINGS: Length = { warmUpRequests: 3_000, seconds: 2, rounds: 5 }
const CREDENTIALS: Length = { warmUpRequests: 4_000, seconds: 2, rounds: 3 }
const METHODS: MethodLength = { warmUpCalls: 10_000, maxWarmUpMs: 1_200, rounds: 11, sliceMs: 30 }
const MEMORY_MARKS = [10_000, 50_000, 100_000]

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    methods: { type: 'boolean', default: false },
    credentials: { type: 'boolean', default: false },
    memory: { type: 'boolean', default: false },
    'no-worker': { type: 'boolean', default: false },
    'no-build': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (flags.help) console.log(HELP)
else if (flags.methods) await methodsAlone()
else if (flags.credentials) await credentialsAlone()
else await main()

async function main(): Promise<void> {
  const loadAverage = loadavg()[0] ?? NaN
  // What is measured is what is shipped.
  if (!flags['no-build']) buildBundles()
  const report = await measureAll(loadAverage)
  publish(report, '', () => tableOf(report))
}

async function methodsAlone(): Promise<void> {
  const loadAverage = loadavg()[0] ?? NaN
  const report = { machine: machine(loadAverage), methods: await measureMethods(METHODS) }
  publish(report, 'methods-', () => methodTableOf(report))
}

async function credentialsAlone(): Promise<void> {
  const loadAverage = loadavg()[0] ?? NaN
  if (!flags['no-build']) buildBundles()
  const issuer = await startIssuer()
  const origin = await startPeer('./origin.ts', { ORIGIN_KEY: API_KEY })
  try {
    const credentials = await measureCredentials(origin.url, issuer, CREDENTIALS)
    const report = { machine: machine(loadAverage), credentials }
    publish(report, 'credentials-', () => credentialTableOf(report))
  } finally {
    await Promise.all([origin.stop(), issuer.close()])
  }
}

function publish(report: Machine, prefix: string, table: () => string): void {
  const json = JSON.stringify(report, null, 2)
  mkdirSync('.cache/bench', { recursive: true })
  const stamp = report.machine.date.replaceAll(/[:.]/g, '-')
  for (const name of [stamp, 'latest']) {
    writeFileSync(`.cache/bench/${prefix}${name}.json`, `${json}\n`)
  }
  console.log(flags.json ? json : table())
}

async function measureAll(loadAverage: number): Promise<Report> {
  const issuer = await startIssuer()
  const origin = await startPeer('./origin.ts', { ORIGIN_KEY: API_KEY })
  const step = (what: string) => {
    if (process.stderr.isTTY) console.error(`… ${what}`)
  }
  try {
    step('round trips and starts')
    const roundTrips = await countRoundTrips(origin.url, issuer)
    const starts = await measureStarts(flags.quick ? 3 : 9)
    step('one attestation of each kind')
    const methods = await measureMethods(METHODS)
    step('the paths on Node')
    const onNode = await nodeFigures(origin, issuer)
    step('the paths on workerd, the bindings')
    const isShort = flags.quick
    return {
      machine: machine(loadAverage),
      ...onNode,
      roundTrips,
      methods,
      sizes: bundleSizes(),
      starts,
      worker:
        isShort || flags['no-worker'] ? null : await measureWorkerPaths(origin.url, issuer, WORKER),
      credentials: isShort ? null : await measureCredentials(origin.url, issuer, CREDENTIALS),
      bindings: isShort ? null : await measureBindings(origin.url, issuer, BINDINGS),
    }
  } finally {
    await Promise.all([origin.stop(), issuer.close()])
  }
}

async function nodeFigures(
  origin: Awaited<ReturnType<typeof startPeer>>,
  issuer: Issuer,
): Promise<Pick<Report, 'node' | 'memory'>> {
  const start = async (options?: readonly string[]) => {
    const broker = await startNodeBroker({ SALLYPORT_ADMIN_TOKEN: ADMIN_TOKEN }, options)
    await configure(broker.url, origin.url, policyOf(issuer.url, origin.url))
    return broker
  }
  const broker = await start()
  const node = await measureNodePaths(broker, origin, issuer, flags.quick ? QUICK : FULL).finally(
    () => broker.stop(),
  )
  if (!flags.memory) return { node, memory: null }
  const fresh = await start(MEMORY_OPTIONS)
  const memory = await measureMemory(fresh, issuer, MEMORY_MARKS).finally(() => fresh.stop())
  return { node, memory }
}

function machine(loadAverage: number): Report['machine'] {
  const cpu = /model name\s*:\s*(.+)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  return {
    cpu,
    cores: availableParallelism(),
    node: process.versions.node,
    date: new Date().toISOString(),
    loadAverage,
  }
}
