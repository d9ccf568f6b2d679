// What must not grow: memory over 100,000 exchanges, and the cost of an exchange when 100,000 bindings
// stand beside the one that matters.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { nextMessage, type NodeBroker, startNodeBroker } from './processes.ts'
import { inTurns, type Length, type Pair, warmed } from './paths.ts'
import { type Figures, load, rssMiBOf } from './run-load.ts'
import { ADMIN_TOKEN, configure, exchangeRequests, type Issuer, policyOf } from './world.ts'

export type Memory = {
  readonly exchanges: number
  readonly rssMiB: number
  /** What is still in use after a full collection. */
  readonly heapMiB: number
}

/** For a broker whose memory is looked at. */
export const MEMORY_OPTIONS = [
  '--expose-gc',
  `--import=${new URL('./memory-probe.ts', import.meta.url).href}`,
]

/** Memory of the Node process after so many exchanges. */
export async function measureMemory(
  broker: NodeBroker,
  issuer: Issuer,
  marks: readonly number[],
): Promise<readonly Memory[]> {
  const requests = exchangeRequests(broker.url, issuer)
  const look = async (exchanges: number): Promise<Memory> => {
    const rssMiB = rssMiBOf(broker.pid)
    const answer = nextMessage<{ heapMiB: number }>(broker.child)
    broker.child.send('collect')
    return { exchanges, rssMiB, ...(await answer) }
  }
  const seen: Memory[] = [await look(0)]
  let done = 0
  for (const mark of marks) {
    await load({
      baseUrl: broker.url,
      requests,
      connections: 16,
      maxSeconds: Infinity,
      maxRequests: mark - done,
    })
    done = mark
    seen.push(await look(mark))
  }
  return seen
}

export type BindingFigures = { readonly ten: Figures; readonly hundredThousand: Figures }

const MANY = 100_000

/** Two brokers, alike but for the number of bindings, take turns. */
export async function measureBindings(
  origin: string,
  issuer: Issuer,
  length: Length,
): Promise<BindingFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bindings-'))
  const paths = { few: join(folder, 'few.db'), many: join(folder, 'many.db') }
  const few = await brokerOn(paths.few, origin, issuer)
  const many = await brokerOn(paths.many, origin, issuer)
  try {
    addBindings(paths.many, MANY - 10)
    const figures: Readonly<Record<string, Pair>> = await inTurns(
      {
        few: await warmed(few, exchangeRequests(few.url, issuer), length),
        many: await warmed(many, exchangeRequests(many.url, issuer), length),
      },
      length,
    )
    const one = (name: string): Figures => {
      const pair = figures[name]
      if (pair === undefined) throw new Error(`${name} was not measured`)
      return pair.one
    }
    return { ten: one('few'), hundredThousand: one('many') }
  } finally {
    await Promise.all([few.stop(), many.stop()])
    rmSync(folder, { recursive: true, force: true })
  }
}

async function brokerOn(path: string, origin: string, issuer: Issuer): Promise<NodeBroker> {
  const broker = await startNodeBroker({
    SALLYPORT_ADMIN_TOKEN: ADMIN_TOKEN,
    DATABASE_URL: `file:${path}`,
  })
  await configure(broker.url, origin, policyOf(issuer.url, origin, 10))
  return broker
}

/** Straight into the table: a document of this size is an import, and none of what is measured. */
function addBindings(path: string, count: number): void {
  const database = new DatabaseSync(path, { timeout: 5000 })
  database
    .prepare(
      `INSERT INTO binding
         (name, auth_method, target, enabled, document, revision, created_at, updated_at)
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       SELECT 'more-' || i, b.auth_method, 'crm-' || (i % 9), 1,
         json_set(b.document, '$.name', 'more-' || i, '$.target', 'crm-' || (i % 9)),
         b.revision, b.created_at, b.updated_at
       FROM n, binding b WHERE b.name = 'support-crm'`,
    )
    .run(count)
  database.close()
}
