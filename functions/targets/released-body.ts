// The stream that the agent reads. At most the reserved bytes pass; the last chunk waits for the
// outcome's record, and without that record the stream breaks off, so that no agent takes it for whole.
import type { CallOutcome } from '../core/target.ts'
import { Reflected, type ByteSource } from './byte-source.ts'

export type Release = {
  readonly source: ByteSource
  readonly maxBytes: number
  /**
   * Whether a chunk is kept until the next one comes. False for an event stream, whose events must not
   * wait for one another: there it is the end of the stream that waits for the record.
   */
  readonly holdsLast: boolean
  readonly settle: (outcome: Pick<CallOutcome, 'result' | 'bytes'>) => Promise<boolean>
  /** Resolves when the answer must break off (REV-6). */
  readonly cancelled?: Promise<void>
}

export function releasedBody(release: Release): ReadableStream<Uint8Array> {
  const body = new ReleasedBody(release)
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => body.start(controller),
      pull: (controller) => body.pull(controller),
      cancel: () => body.cancel(),
    },
    { highWaterMark: 0 },
  )
}

type Controller = ReadableStreamDefaultController<Uint8Array>

class ReleasedBody {
  readonly #release: Release
  #held: Uint8Array | null = null
  /** Passed to the agent, and what is held. */
  #bytes = 0
  #isOver = false
  #isCut = false

  constructor(release: Release) {
    this.#release = release
  }

  start(controller: Controller): void {
    void this.#release.cancelled?.then(() => this.#breakOff(controller))
  }

  async #breakOff(controller: Controller): Promise<void> {
    if (this.#isOver) return
    await this.cancel()
    controller.error(new Error('the answer was ended'))
  }

  async pull(controller: Controller): Promise<void> {
    if (this.#isCut) {
      controller.error(new Error('the answer was cut at the reserved bytes'))
      return
    }
    try {
      await this.#advance(controller)
    } catch (error) {
      if (this.#isOver) return
      this.#isOver = true
      this.#release.source.stop()
      await this.#settle(error instanceof Reflected ? 'aborted' : 'unknown', this.#passed())
      controller.error(error)
    }
  }

  async cancel(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    this.#release.source.stop()
    await this.#settle('aborted', this.#passed())
  }

  /** Enqueues one chunk, or ends the stream. */
  async #advance(controller: Controller): Promise<void> {
    for (;;) {
      const piece = await this.#release.source.read()
      if (this.#isOver) return
      if (piece === null) return this.#end(controller)
      if (this.#bytes + piece.length > this.#release.maxBytes) return this.#cut(controller, piece)
      this.#bytes += piece.length
      const ready = this.#release.holdsLast ? this.#held : piece
      if (this.#release.holdsLast) this.#held = piece
      if (ready !== null) return controller.enqueue(ready)
    }
  }

  async #end(controller: Controller): Promise<void> {
    this.#isOver = true
    if (!(await this.#settle('completed', this.#bytes))) return refuse(controller)
    if (this.#held !== null) controller.enqueue(this.#held)
    controller.close()
  }

  async #cut(controller: Controller, piece: Uint8Array): Promise<void> {
    this.#isOver = true
    this.#release.source.stop()
    const allowed = piece.subarray(0, this.#release.maxBytes - this.#bytes)
    const last = this.#held === null ? allowed : joined(this.#held, allowed)
    if (!(await this.#settle('truncated', this.#bytes + allowed.length))) return refuse(controller)
    // The error comes with the next pull: at once, it would take the last chunk back.
    this.#isCut = true
    if (last.length > 0) controller.enqueue(last)
    else await this.pull(controller)
  }

  #passed(): number {
    return this.#bytes - (this.#held?.length ?? 0)
  }

  #settle(result: CallOutcome['result'], bytes: number): Promise<boolean> {
    return this.#release.settle({ result, bytes })
  }
}

function refuse(controller: Controller): void {
  controller.error(new Error('the outcome could not be recorded'))
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length)
  whole.set(a)
  whole.set(b, a.length)
  return whole
}
