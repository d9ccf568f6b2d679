// An answer's body on its way to the agent, as a chain of sources that are read one piece at a time.
// Nothing is read ahead, so a slow agent slows the upstream down.
import type { CredentialScan } from './reflection.ts'

export interface ByteSource {
  /** The next piece, never empty, or null at the end. Throws BrokenOff or Reflected. */
  read(): Promise<Uint8Array | null>
  /** Ends the upstream call, at once and for good. */
  stop(): void
}

/** The upstream ended before its answer did, or said nothing for too long. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff'
  readonly isTimeout: boolean

  constructor(isTimeout: boolean) {
    super('the upstream broke off')
    this.isTimeout = isTimeout
  }
}

/** The credential came back and the target says `on_reflection: block`. */
export class Reflected extends Error {
  override readonly name = 'Reflected'

  constructor() {
    super('the answer was stopped')
  }
}

/** The upstream's stream. `abort` ends the call where cancelling the body alone would not. */
export function upstreamSource(
  body: ReadableStream<Uint8Array>,
  options: { readonly idleMs: number; readonly abort: () => void },
): ByteSource {
  const reader = body.getReader()
  const stop = (): void => {
    options.abort()
    // A body that errored rejects here with the error that `read` reports.
    reader.cancel().catch(() => undefined)
  }
  return {
    stop,
    async read() {
      let isIdle = false
      const timer = setTimeout(() => {
        isIdle = true
        stop()
      }, options.idleMs)
      try {
        for (;;) {
          const { done, value } = await reader.read()
          if (isIdle) break
          if (done) return null
          if (value.length > 0) return value
        }
      } catch {
        // The transport's error may name the upstream; the outcome's record says what counts.
      } finally {
        clearTimeout(timer)
      }
      throw new BrokenOff(isIdle)
    },
  }
}

/** Pieces that were read already, and then the rest. */
export function prefixed(pieces: readonly Uint8Array[], rest: ByteSource | null): ByteSource {
  let next = 0
  return {
    stop: () => rest?.stop(),
    async read() {
      const piece = pieces[next++]
      return piece ?? (rest === null ? null : rest.read())
    },
  }
}

/** The body without the credential. `found` is told of the first hit. */
export function redacted(
  source: ByteSource,
  scan: CredentialScan,
  options: { readonly isBlocking: boolean; readonly found: () => void },
): ByteSource {
  const redaction = scan.begin()
  const ready: Uint8Array[] = []
  let isOver = false
  return {
    stop: () => source.stop(),
    async read() {
      for (;;) {
        const piece = ready.shift()
        if (piece !== undefined) return piece
        if (isOver) return null
        const chunk = await source.read()
        isOver = chunk === null
        ready.push(...(chunk === null ? redaction.end() : redaction.push(chunk)))
        if (redaction.found) options.found()
        if (redaction.found && options.isBlocking) throw new Reflected()
      }
    },
  }
}

/** Up to `maxBytes` of a source; `isWhole` when it ended within them. */
export async function readUpTo(
  source: ByteSource,
  maxBytes: number,
): Promise<{ readonly pieces: readonly Uint8Array[]; readonly isWhole: boolean }> {
  const pieces: Uint8Array[] = []
  let length = 0
  for (;;) {
    const piece = await source.read()
    if (piece === null) return { pieces, isWhole: true }
    pieces.push(piece)
    length += piece.length
    if (length > maxBytes) return { pieces, isWhole: false }
  }
}
