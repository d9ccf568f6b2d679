// Contract of the targets/ family: how a protected system is reached. A target normalises a raw request
// into an action and, once the action is recorded, performs it with the credential injected.
import type { Failure } from './failure.ts'
import type { Action } from './intent.ts'
import type { HandingOver, Minting, MintFacts } from './minting.ts'
import type { DocumentError, Grant, TargetPolicy } from './policy.ts'
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
  /** Why nothing came of it; a stable word. */
  readonly reason?: string
  /** What was handed over. */
  readonly credential?: HandingOver
}

/**
 * What `normalise` made of a request. `prepared` is opaque to everybody but the target that made it, and
 * is what `call` sends: the raw request is not read again, so what was judged is byte for byte what is
 * sent. It may hold an open request body, so it is used for one call at most.
 */
export type Normalised<Prepared> = { readonly action: Action; readonly prepared: Prepared }

/** In whose session a request is normalised; outside of one there is none, and nothing can be minted. */
export type NormaliseContext = {
  /** Made when asked for: only a target that mints needs it. */
  readonly mintFacts: () => MintFacts
}

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
  /** Of a target that hands over credentials (core/minting.ts). */
  readonly minting?: Minting
  /** What the caller asks for, or why it cannot be agreed on. No I/O but reading the request's body. */
  normalise(raw: Raw, context?: NormaliseContext): Promise<Result<Normalised<Prepared>, Failure>>
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
  /** What bindings of its targets must say; absent: `session`. */
  readonly delivery?: 'credential'
  /** Bindings of its targets say for whose users: `on_behalf_of`, and no impersonation. */
  readonly needsUser?: true
  /** Mistakes of a binding's grants, where objects have a grammar of their own; paths relative to the binding. */
  grantMistakes?(
    grants: readonly Grant[],
    target: TargetPolicy,
  ): readonly DocumentError[] | Promise<readonly DocumentError[]>
  /** What the other side has to know the broker by, for administrators; null where there is nothing. */
  externalId?(target: TargetPolicy): Promise<string | null>
  /** Every mistake and unsafe setting at once; paths relative to the target. */
  validate(target: TargetPolicy): readonly DocumentError[]
  /** Of a target that `validate` has nothing against. */
  compile(target: TargetPolicy): CompiledTarget<Raw, Prepared, Answer>
}
