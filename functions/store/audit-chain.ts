// Where the next event of each chain belongs, as this isolate sees it. The database has the last word:
// an event that was chained on the wrong head is not taken, and is chained again.
import { EMPTY_CHAIN } from '../core/audit.ts'
import type { ChainHead } from '../core/audit.ts'

/** Heads remembered between requests. A forgotten one costs one more attempt. */
const MAX_HEADS = 10_000
/** A lane in which nothing ended for so long is stuck. Past that the database decides who was first. */
const LANE_STUCK_MS = 1000

/** Events on their way, each chained on the one before it. A lineage ends when one of them is not taken. */
type Lineage = { tip: ChainHead; inFlight: number; number: number }

export type Place = { readonly behind: ChainHead; readonly lineage: number }

export class ChainHeads {
  readonly #confirmed = new Map<string, ChainHead>()
  readonly #open = new Map<string, Lineage>()
  #lineages = 0

  /** Where the next event goes. `advance` must follow in the same turn, `settle` when its write has ended. */
  place(chain: string): Place {
    const open = this.#open.get(chain) ?? this.#begin(chain)
    open.inFlight += 1
    return { behind: open.tip, lineage: open.number }
  }

  advance(chain: string, tip: ChainHead): void {
    const open = this.#open.get(chain)
    if (open !== undefined) open.tip = tip
  }

  /** `found` is the head that the write saw, null when it failed. */
  settle(chain: string, place: Place, found: ChainHead | null, taken: boolean): void {
    if (found !== null) this.#confirm(chain, found)
    const open = this.#open.get(chain)
    if (open === undefined) return
    open.inFlight -= 1
    // What was chained on an event that was not taken will not be taken either: begin again at the head.
    if (!taken && open.number === place.lineage) {
      open.tip = this.#confirmed.get(chain) ?? EMPTY_CHAIN
      open.number = this.#nextLineage()
    }
    if (open.inFlight === 0) this.#open.delete(chain)
  }

  /** A head that was read along with something else; a write of this isolate may have overtaken it. */
  note(chain: string, head: ChainHead): void {
    const known = this.#confirmed.get(chain)
    if (known === undefined || head.seq > known.seq) this.#confirm(chain, head)
  }

  #begin(chain: string): Lineage {
    const tip = this.#confirmed.get(chain) ?? EMPTY_CHAIN
    const lineage = { tip, inFlight: 0, number: this.#nextLineage() }
    this.#open.set(chain, lineage)
    return lineage
  }

  #nextLineage(): number {
    this.#lineages += 1
    return this.#lineages
  }

  #confirm(chain: string, head: ChainHead): void {
    this.#confirmed.delete(chain)
    this.#confirmed.set(chain, head)
    if (this.#confirmed.size <= MAX_HEADS) return
    for (const oldest of this.#confirmed.keys()) {
      this.#confirmed.delete(oldest)
      return
    }
  }
}

type Lane = { last: Promise<unknown>; ended: number }

/**
 * One append at a time for each chain. For a driver whose writes may overtake each other, so that those of
 * one isolate do not fight; exactness does not rest on it.
 */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()

  async enter<T>(chain: string, work: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(chain)
    const turn = lane === undefined ? work() : afterLast(lane).then(work)
    const mine = lane ?? { last: turn, ended: 0 }
    mine.last = turn
    this.#lanes.set(chain, mine)
    try {
      return await turn
    } finally {
      mine.ended += 1
      if (mine.last === turn) this.#lanes.delete(chain)
    }
  }
}

/**
 * When the last one has ended, however it ended, or when the lane is stuck: on Workers the request that
 * one belongs to may have been cancelled, and then it never ends.
 */
async function afterLast(lane: Lane): Promise<void> {
  const { last } = lane
  const ended = last.then(
    () => 'ended' as const,
    () => 'ended' as const,
  )
  for (;;) {
    const before = lane.ended
    let timer: ReturnType<typeof setTimeout> | undefined
    const wait = new Promise<'waited'>((resolve) => {
      timer = setTimeout(() => resolve('waited'), LANE_STUCK_MS)
    })
    const result = await Promise.race([ended, wait])
    clearTimeout(timer)
    if (result === 'ended' || lane.ended === before) return
  }
}
