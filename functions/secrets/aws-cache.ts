// What AWS answered last, for a minute at most: a secret that was rotated is in use, and one that was
// deleted is out of use, no later. Nothing older is ever served, and no failure passes for a value.
import type { Secret } from '../core/credential.ts'
import type { Clock } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsSecretFault, AwsSecretQuestion, ReadAwsSecret } from '../aws/secrets-contract.ts'
import { unavailable } from '../aws/fault.ts'
import { sharedCall } from '../aws/shared-call.ts'

/** What AWS answered, and the secrets that were made of it: one value stays one object. */
export type Held = { readonly text: string; readonly made: Map<string, Secret> }

export interface AwsCache {
  read(question: AwsSecretQuestion): Promise<Result<Held, AwsSecretFault>>
  /** Past what is held, unless AWS is being asked already. */
  readNow(question: AwsSecretQuestion): Promise<Result<Held, AwsSecretFault>>
  /** The next read asks again, once in a few seconds; until AWS answers, what is held goes on. */
  doubt(question: AwsSecretQuestion): void
}

export const FRESH_MS = 60_000
/** A secret that is refused for good costs AWS this often, however many actions it is refused for. */
const DOUBT_MS = 5_000
/** After a failure AWS is left alone for so long. */
const COOL_DOWN_MS = 1_000
/** At 64 KiB each, an eighth of what an isolate has. */
const MAX_HELD = 256
/** More than one call takes, that to STS for its keys included. */
const ABANDONED_MS = 15_000

type Entry = {
  held: Held | null
  /** When what is held was asked for. */
  readAtMs: number
  /** When AWS was asked last, whatever came of it. */
  askedAtMs: number
  isDoubted: boolean
  failed: { readonly fault: AwsSecretFault; readonly atMs: number } | null
  readonly share: (call: () => Promise<Answer>) => Promise<Answer>
}

type Answer = Result<Held, AwsSecretFault>

const LATE: Answer = fail(unavailable('timeout'))

export function createAwsCache(deps: {
  readonly read: ReadAwsSecret
  readonly clock: Clock
}): AwsCache {
  const { clock } = deps
  const entries = new Map<string, Entry>()
  const isWithin = (ms: number, sinceMs: number) => Math.abs(clock.nowMs() - sinceMs) < ms
  const fresh = ({ held, readAtMs }: Entry) => (isWithin(FRESH_MS, readAtMs) ? held : null)

  async function ask(entry: Entry, question: AwsSecretQuestion): Promise<Answer> {
    // Before the call, so that the age counts from when the value was certainly the current one.
    const askedAtMs = clock.nowMs()
    entry.askedAtMs = askedAtMs
    const answer = await deps.read(question)
    if (!answer.ok) return refused(entry, answer.failure)
    const same = entry.held?.text === answer.value ? entry.held : null
    const held = same ?? { text: answer.value, made: new Map() }
    Object.assign(entry, { held, readAtMs: askedAtMs, isDoubted: false, failed: null })
    return ok(held)
  }

  function refused(entry: Entry, fault: AwsSecretFault): Answer {
    entry.failed = { fault, atMs: clock.nowMs() }
    entry.isDoubted = false
    // Doubted, not old: it goes on while nobody says that it is gone.
    const held = isSilence(fault) ? fresh(entry) : null
    entry.held = held
    return held === null ? fail(fault) : ok(held)
  }

  const fly = (entry: Entry, question: AwsSecretQuestion) => entry.share(() => ask(entry, question))

  const entryOf = (question: AwsSecretQuestion) =>
    takeEntry(entries, JSON.stringify(question), clock)
  return {
    async read(question) {
      const entry = entryOf(question)
      const held = fresh(entry)
      if (held !== null && !entry.isDoubted) return ok(held)
      if (entry.failed !== null && isWithin(COOL_DOWN_MS, entry.failed.atMs)) {
        return held === null ? fail(entry.failed.fault) : ok(held)
      }
      return fly(entry, question)
    },
    readNow: (question) => fly(entryOf(question), question),
    doubt(question) {
      const entry = entries.get(JSON.stringify(question))
      if (entry !== undefined && !isWithin(DOUBT_MS, entry.askedAtMs)) entry.isDoubted = true
    },
  }
}

function isSilence({ kind }: AwsSecretFault): boolean {
  return kind === 'unavailable' || kind === 'throttled' || kind === 'foreign'
}

/** Made or moved to the young end; the oldest goes when there are too many. */
function takeEntry(entries: Map<string, Entry>, name: string, clock: Clock): Entry {
  const entry: Entry = entries.get(name) ?? {
    held: null,
    readAtMs: 0,
    askedAtMs: 0,
    isDoubted: false,
    failed: null,
    share: sharedCall({ clock, abandonedMs: ABANDONED_MS, late: LATE }),
  }
  entries.delete(name)
  entries.set(name, entry)
  const [oldest] = entries.keys()
  if (entries.size > MAX_HELD && oldest !== undefined) entries.delete(oldest)
  return entry
}
