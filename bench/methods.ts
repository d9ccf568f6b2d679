// What it costs to verify an attestation of each kind, in this process and with warm caches, beside the
// bare check of its signatures; and what it costs to refuse one on its form, where nothing may leave.
import type { MethodSubject } from './method-attestations.ts'
import { startMethodWorld } from './method-world.ts'

/** Of one call. */
export type Cost = {
  /** From call to answer, one at a time: a thread that sleeps meanwhile and is woken again is in it. */
  readonly micros: number
  /** CPU time of all threads of the process, 16 at a time, as a busy broker spends it. */
  readonly cpuMicros: number
}

export type MethodFigures = {
  readonly methods: readonly {
    readonly name: string
    readonly cost: Cost
    readonly bare: Cost | null
    /** Of each pair that was measured back to back, the one in the middle. */
    readonly ratio: Cost | null
  }[]
  readonly refusals: readonly {
    readonly name: string
    readonly reason: string
    readonly cost: Cost
    readonly outboundRequests: number
  }[]
}

export type MethodLength = {
  /** Of each subject, as long as they take no more than `maxWarmUpMs`. */
  readonly warmUpCalls: number
  readonly maxWarmUpMs: number
  readonly rounds: number
  /** Of each subject in each round. */
  readonly sliceMs: number
}

/** Runs the `index`-th of a subject. */
type Work = (index: number) => unknown

export async function measureMethods(length: MethodLength): Promise<MethodFigures> {
  const world = await startMethodWorld()
  const verifying =
    (attestations: MethodSubject['attestations'], expected: string): Work =>
    async (index) => {
      const attestation = attestations[index % attestations.length]
      if (attestation === undefined) throw new Error('there is nothing to show')
      const outcome = await world.verify(attestation)
      // A figure of refusals would mean nothing.
      if (outcome !== expected) throw new Error(`${outcome} instead of ${expected}`)
    }
  const methods = world.methods.map(({ name, attestations, bare }) => ({
    name,
    bare: bare === null ? null : checking(bare),
    work: verifying(attestations, 'accepted'),
    seen: { work: [] as Cost[], bare: [] as Cost[] },
  }))
  const forms = world.forms.map(({ name, reason, attestations }) => ({
    name,
    reason,
    work: verifying(attestations, reason),
    seen: [] as Cost[],
    outboundRequests: 0,
  }))

  for (const { work, bare } of methods) {
    await warmUp(work, length)
    if (bare !== null) await warmUp(bare, { ...length, maxWarmUpMs: length.maxWarmUpMs / 4 })
  }
  for (const { work } of forms) await warmUp(work, length)
  for (let round = 0; round < length.rounds; round += 1) {
    for (const { work, bare, seen } of methods) {
      if (bare !== null) seen.bare.push(await costOf(bare, length.sliceMs))
      seen.work.push(await costOf(work, length.sliceMs))
    }
    for (const form of forms) {
      const before = world.outboundRequests()
      form.seen.push(await costOf(form.work, length.sliceMs))
      form.outboundRequests += world.outboundRequests() - before
    }
  }
  return {
    methods: methods.map(({ name, seen }) => ({
      name,
      cost: middle(seen.work),
      ...(seen.bare.length === 0
        ? { bare: null, ratio: null }
        : { bare: middle(seen.bare), ratio: middle(ratios(seen.work, seen.bare)) }),
    })),
    refusals: forms.map(({ name, reason, seen, outboundRequests }) => ({
      name,
      reason,
      cost: middle(seen),
      outboundRequests,
    })),
  }
}

function checking(bare: NonNullable<MethodSubject['bare']>): Work {
  return async (index) => {
    if ((await bare[index % bare.length]?.()) !== true) throw new Error('a signature does not hold')
  }
}

async function warmUp(
  work: Work,
  { warmUpCalls, maxWarmUpMs }: Pick<MethodLength, 'warmUpCalls' | 'maxWarmUpMs'>,
): Promise<void> {
  const endsAt = performance.now() + maxWarmUpMs
  for (let done = 0; done < warmUpCalls && performance.now() < endsAt; done += 1) await work(done)
}

/** Calls between two looks at the clock. */
const BATCH = 16

/** Half of the time one at a time, half of it a batch at a time. */
async function costOf(work: Work, ms: number): Promise<Cost> {
  const alone = await repeated(ms / 2, async (from) => {
    for (let i = 0; i < BATCH; i += 1) await work(from + i)
  })
  const together = await repeated(ms / 2, (from) =>
    Promise.all(Array.from({ length: BATCH }, (_, i) => work(from + i))),
  )
  return { micros: alone.micros, cpuMicros: together.cpuMicros }
}

async function repeated(ms: number, batch: (from: number) => Promise<unknown>): Promise<Cost> {
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  let done = 0
  for (; performance.now() - started < ms; done += BATCH) await batch(done)
  const micros = (performance.now() - started) * 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  return { micros: micros / done, cpuMicros: (user + system) / done }
}

function ratios(work: readonly Cost[], bare: readonly Cost[]): readonly Cost[] {
  return work.flatMap(({ micros, cpuMicros }, round) => {
    const floor = bare[round]
    if (floor === undefined) return []
    return [{ micros: micros / floor.micros, cpuMicros: cpuMicros / floor.cpuMicros }]
  })
}

function middle(rounds: readonly Cost[]): Cost {
  const of = (name: keyof Cost) => medianOf(rounds.map((cost) => cost[name]))
  return { micros: of('micros'), cpuMicros: of('cpuMicros') }
}

function medianOf(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? NaN
}
