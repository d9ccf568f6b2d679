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

export type CallInput<Raw> = {
  readonly raw: Raw
  readonly action: Action
  readonly credential: Secret | null
  /** Reserved for this answer; what goes beyond is cut and the outcome is `truncated`. */
  readonly maxResponseBytes: number
  /**
   * Records the outcome. The last chunk of the answer waits for it; on false the stream is aborted.
   * Called exactly once, whatever happens.
   */
  readonly settle: (outcome: CallOutcome) => Promise<boolean>
}

export interface CompiledTarget<Raw = unknown, Answer = unknown> {
  readonly policy: TargetPolicy
  /** What the caller asks for, or why it cannot be agreed on. No I/O. */
  normalise(raw: Raw): Promise<Result<Action, Failure>>
  call(input: CallInput<Raw>): Promise<Result<Answer, Failure>>
}

export interface TargetType<Raw = unknown, Answer = unknown> {
  readonly type: string
  /** Every mistake and unsafe setting at once; paths relative to the target. */
  validate(target: TargetPolicy): readonly DocumentError[]
  compile(target: TargetPolicy): CompiledTarget<Raw, Answer>
}
