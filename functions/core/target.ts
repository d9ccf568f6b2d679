// Contract of the targets/ family: how a protected system is reached. A target normalises a raw request
// into an action and, once the action is recorded, performs it with the credential injected.
import type { Failure } from './failure.ts'
import type { Action } from './intent.ts'
import type { DocumentError, TargetPolicy } from './policy.ts'
import type { Result } from './result.ts'
import type { Secret } from './credential.ts'

/** What became of a call, for the outcome's record. */
export type CallOutcome = {
  readonly result: 'completed' | 'upstream_error' | 'truncated' | 'aborted' | 'unknown'
  /** Status of the upstream, when it answered. */
  readonly status: number | null
  /** Bytes of the answer that count against the budget. */
  readonly bytes: number
  readonly rows: number
  /** The injected credential was found in the answer and removed. */
  readonly reflected: boolean
  readonly masked: number
}

/**
 * What `normalise` made of a request. `prepared` is opaque to everybody but the target that made it, and
 * is what `call` sends: the raw request is not read again, so what was judged is byte for byte what is
 * sent. It may hold an open request body, so it is used for one call at most.
 */
export type Normalised<Prepared> = { readonly action: Action; readonly prepared: Prepared }

export type CallInput<Prepared> = {
  /** From the same `normalise` that made `action`. */
  readonly prepared: Prepared
  readonly action: Action
  readonly credential: Secret | null
  /** Reserved for this answer; what goes beyond is cut and the outcome is `truncated`. */
  readonly maxResponseBytes: number
  /**
   * Records the outcome. The last chunk of the answer waits for it; on false the stream is aborted.
   * Called exactly once, whatever happens: also when `call` answers a failure or throws.
   */
  readonly settle: (outcome: CallOutcome) => Promise<boolean>
  /** Resolves when the caller has gone or the session has ended: the answer breaks off. Never rejects. */
  readonly cancelled?: Promise<void>
}

export interface CompiledTarget<Raw = unknown, Prepared = unknown, Answer = unknown> {
  readonly policy: TargetPolicy
  /** What the caller asks for, or why it cannot be agreed on. No I/O but reading the request's body. */
  normalise(raw: Raw): Promise<Result<Normalised<Prepared>, Failure>>
  /**
   * SHA-256, hex, of all of the request that is not in the action: its body. Buffers it, so that what
   * a person approves is what is sent; refuses what is too large to be held.
   */
  fingerprint(prepared: Prepared): Promise<Result<string, Failure>>
  /** Sends what was normalised, with the credential injected. */
  call(input: CallInput<Prepared>): Promise<Result<Answer, Failure>>
}

export interface TargetType<Raw = unknown, Prepared = unknown, Answer = unknown> {
  readonly type: string
  /** Every mistake and unsafe setting at once; paths relative to the target. */
  validate(target: TargetPolicy): readonly DocumentError[]
  /** Of a target that `validate` has nothing against. */
  compile(target: TargetPolicy): CompiledTarget<Raw, Prepared, Answer>
}
