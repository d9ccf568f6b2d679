// Contract of targets that hand over a credential of their own making (delivery `credential`): planned from
// what policy decided, judged and recorded as an action, minted only then.
import type { OnBehalfOf } from './delegation.ts'
import type { Failure } from './failure.ts'
import type { JsonObject } from './identity.ts'
import type { Action, AgentIntent } from './intent.ts'
import type { Lineage } from './lineage.ts'
import type { Effect, Grant } from './policy.ts'
import type { Seconds } from './ports.ts'
import type { Confirmation } from './proof.ts'
import type { Result } from './result.ts'
import type { ScopeItem } from './scope.ts'
import type { Withdrawal } from './withdrawal.ts'

/** From what a credential is planned: verified or decided by policy, but for `intent`, which is declared. */
export type MintFacts = {
  readonly sessionId: string
  /** `{auth_method}:{subject}` of who acts. */
  readonly identity: string
  readonly authMethod: string
  readonly subject: string
  readonly claims: JsonObject
  readonly onBehalfOf: OnBehalfOf | null
  readonly lineage: Lineage | null
  readonly intent: AgentIntent | null
  readonly attestedOrigin: JsonObject | null
  /** The keys that the caller proved, for a credential that can be bound to them. */
  readonly confirmation: Confirmation | null
  /** Of this target: bindings, narrowed to scope and envelope, without effects that the session has lost. */
  readonly grants: readonly Grant[]
  /** What this request asked for; null: all that is granted. */
  readonly scope: readonly ScopeItem[] | null
  readonly now: Seconds
  /** The credential stops to work no later. */
  readonly endsAt: Seconds
}

/** What would be minted. `prepared` is opaque to everybody but the target that made it, and holds no secret. */
export type MintPlan = {
  /** What is judged and recorded: effects and objects are those of the credential, never more. */
  readonly action: Action
  /** When the credential will stop to work. */
  readonly endsAt: Seconds
  readonly prepared: unknown
}

export type Minted = {
  /** `access_token` of the answer, what `/revoke` takes, and what the log keeps the hash of. */
  readonly token: string
  /** When it stops to work. */
  readonly expiresAt: Seconds
  /** Further members of the answer of `/token-exchange`, e.g. `aws_credentials`. Secret. */
  readonly members: JsonObject
  /** What `GET /t/{target}/credentials` answers; null where there is no such form. Secret. */
  readonly document: JsonObject | null
  /** What the grant's event says of it. No secret. */
  readonly record: JsonObject
}

/** A credential that was handed over, as the store and the log keep it: by its hash. */
export type HandedOver = {
  readonly sha256: string
  readonly target: string
  readonly expiresAt: Seconds
  /** `Minted.record`. */
  readonly record: JsonObject
}

/** As it is about to be handed over: nothing that it does may have been taken away meanwhile. */
export type HandingOver = HandedOver & { readonly effects: readonly Effect[] }

export function describeHandedOver({ sha256, target, expiresAt, record }: HandedOver): JsonObject {
  return { sha256, target, expires_at: new Date(expiresAt * 1000).toISOString(), ...record }
}

export interface Minting {
  /** The `requested_token_type` that asks for it. */
  readonly tokenType: string
  /** What the standard of such tokens calls the target by, besides its name. */
  readonly knownAs?: readonly string[]
  /**
   * What it cannot express, or what is too large to be expressed, is a failure. No I/O; asynchronous
   * because what it needs may be a part that is loaded on demand.
   */
  plan(facts: MintFacts): Promise<Result<MintPlan, Failure>>
  /** Asks once. `unavailable` where whoever mints did not answer or refused. */
  mint(plan: MintPlan): Promise<Result<Minted, Failure>>
  /** Where AWS honours it: how it is refused there before its time; null: not at all. */
  readonly withdrawal?: Withdrawal | null
}
