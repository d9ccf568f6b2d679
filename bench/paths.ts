// The two paths of a broker on Node, and beside them in the same run what neither can do without. All of
// them are warmed first and then take turns, so that a busy moment of the machine meets them all.
import { type Figures, figuresOf, load, type LoadResult, measure } from './run-load.ts'
import { nextMessage, type NodeBroker, type Peer, startPeer } from './processes.ts'
import {
  actionRequests,
  API_KEY,
  exchangeForm,
  exchangeRequests,
  get,
  type Issuer,
  post,
} from './world.ts'

/** A figure at 1 connection and at 16. */
export type Pair = { readonly one: Figures; readonly sixteen: Figures }

export type Length = {
  /** Of each subject; V8 goes on optimising for more than ten thousand requests. */
  readonly warmUpRequests: number
  readonly seconds: number
  readonly rounds: number
}

/** Something that is measured: for so long, over so many connections. */
type Subject = (connections: number, seconds: number) => Promise<Figures>

export type NodePaths = {
  /** Verify, sign and insert, called from a loop in one process: no HTTP at all. */
  readonly bareFloor: Pair
  /** The same behind a route of the broker's own Node server. */
  readonly servedFloor: Pair
  readonly hello: Pair
  readonly exchange: Pair
  /** The origin, called without the gateway. */
  readonly direct: Pair
  readonly action: Pair
}

export async function measureNodePaths(
  broker: NodeBroker,
  origin: Peer,
  issuer: Issuer,
  length: Length,
): Promise<NodePaths> {
  const server = await startPeer('./floor-server.ts', {
    FLOOR_ISSUER_JWK: JSON.stringify(issuer.publicJwk),
  })
  const floor = { url: server.url, pid: server.child.pid ?? null }
  const api = { url: origin.url, pid: origin.child.pid ?? null }
  const floorRequests = issuer.tokens.map((token) => post(floor.url, '/floor', exchangeForm(token)))
  const served: Record<string, Subject> = {
    servedFloor: await warmed(floor, floorRequests, length),
    hello: await warmed(floor, [get(floor.url, '/hello', 'none')], length),
    exchange: await warmed(broker, exchangeRequests(broker.url, issuer), length),
    direct: await warmed(api, [get(api.url, '/v1/customers/42', API_KEY)], length),
    action: await warmed(broker, await actionRequests(broker.url, issuer), length),
  }
  try {
    const figures = await inTurns({ bareFloor: bareFloor(server, issuer), ...served }, length)
    // Every name of NodePaths is one of these subjects.
    return figures as NodePaths
  } finally {
    await server.stop()
  }
}

type Target = { readonly url: string; readonly pid: number | null }

export async function warmed(
  { url, pid }: Target,
  requests: readonly string[],
  { warmUpRequests }: Pick<Length, 'warmUpRequests'>,
): Promise<Subject> {
  const order = { baseUrl: url, requests }
  await load({ ...order, connections: 16, maxSeconds: 60, maxRequests: warmUpRequests })
  return (connections, seconds) => measure({ ...order, connections }, seconds, pid)
}

function bareFloor(server: Peer, { tokens }: Issuer): Subject {
  return async (concurrency, seconds) => {
    const answer = nextMessage<LoadResult>(server.child)
    server.child.send({ tokens, concurrency, seconds })
    return figuresOf(await answer, null)
  }
}

/** Each subject at 1 and at 16 connections, `rounds` times around; of the rounds the median. */
export async function inTurns(
  subjects: Readonly<Record<string, Subject>>,
  { rounds, seconds }: Pick<Length, 'rounds' | 'seconds'>,
): Promise<Readonly<Record<string, Pair>>> {
  const seen = new Map<string, { one: Figures[]; sixteen: Figures[] }>()
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, subject] of Object.entries(subjects)) {
      const figures = seen.get(name) ?? { one: [], sixteen: [] }
      seen.set(name, figures)
      figures.one.push(await subject(1, seconds))
      figures.sixteen.push(await subject(16, seconds))
    }
  }
  const pairs = [...seen].map(([name, { one, sixteen }]): [string, Pair] => [
    name,
    { one: median(one), sixteen: median(sixteen) },
  ])
  return Object.fromEntries(pairs)
}

/** The round in the middle, whole: its figures belong together. */
function median(rounds: readonly Figures[]): Figures {
  const sorted = rounds.toSorted((a, b) => a.p50Ms - b.p50Ms)
  const middle = sorted[Math.floor((sorted.length - 1) / 2)]
  if (middle === undefined) throw new Error('there was no round')
  return middle
}
