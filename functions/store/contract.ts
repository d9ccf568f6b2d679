// What the rest of the broker asks of the store besides the two paths (core/records.ts). Every method
// throws StoreUnavailable when the store does not answer.
import type { ApprovalState } from '../core/approval.ts'
import type { ChainedEvent, EventDraft, EventType } from '../core/audit.ts'
import type { JsonObject } from '../core/identity.ts'
import type { OriginKind } from '../core/intent.ts'
import type {
  AuthMethodPolicy,
  BindingPolicy,
  IntentPolicy,
  PolicyDocument,
  PolicyKind,
  TargetPolicy,
} from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import type { StoredApproval } from '../core/records.ts'
import type { Restorable } from '../core/session-state.ts'
import type { DescribedSession, SessionState } from '../core/session.ts'

export type PolicyObject = AuthMethodPolicy | TargetPolicy | BindingPolicy | IntentPolicy

export type StoredPolicyObject = {
  readonly object: PolicyObject
  /** Strong validator of this version: the revision that wrote it. */
  readonly etag: string
  readonly createdAt: Seconds
  readonly updatedAt: Seconds
}

export type PolicyChange =
  | { readonly op: 'put'; readonly kind: PolicyKind; readonly object: PolicyObject }
  | { readonly op: 'delete'; readonly kind: PolicyKind; readonly name: string }

/** All changes and the admin event in one atomic write, on exactly the revision they were planned on. */
export type PolicyWrite = {
  readonly changes: readonly PolicyChange[]
  readonly expectedRevision: number
  readonly event: EventDraft
}

export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null }

export interface PolicyStore {
  /** Everything but bindings, disabled objects included, with its revision, in one read. */
  readSnapshot(): Promise<{
    readonly revision: number
    readonly document: Omit<PolicyDocument, 'bindings'>
  }>
  /** The whole document, bindings included (plan, apply, export). */
  readDocument(): Promise<{ readonly revision: number; readonly document: PolicyDocument }>
  readRevision(): Promise<number>
  get(kind: PolicyKind, name: string): Promise<StoredPolicyObject | null>
  list(
    kind: PolicyKind,
    page: { readonly cursor: string | null; readonly limit: number },
  ): Promise<Page<StoredPolicyObject>>
  /** Returns the new revision, or null when the revision moved on meanwhile (nothing was written). */
  write(write: PolicyWrite): Promise<number | null>
  /** Kill switch. Counts as a policy revision. */
  setKilled(killed: boolean, event: EventDraft): Promise<number>
}

export type SealedSecretRow = {
  readonly name: string
  /** Sealed under the KEK; meaningless without it. */
  readonly sealed: string
  readonly allowedOrigins: readonly string[]
  readonly version: number
  readonly createdAt: Seconds
  readonly updatedAt: Seconds
}

export interface SecretStore {
  get(name: string): Promise<SealedSecretRow | null>
  list(page: {
    readonly cursor: string | null
    readonly limit: number
  }): Promise<Page<Omit<SealedSecretRow, 'sealed'>>>
  /** `changed`: it is not of the version that was asked for (0: not there; null: any) and was left alone. */
  put(
    row: {
      readonly name: string
      readonly sealed: string
      readonly allowedOrigins: readonly string[]
    },
    now: Seconds,
    event: EventDraft,
    version?: number | null,
  ): Promise<'created' | 'replaced' | 'changed'>
  delete(name: string, event: EventDraft): Promise<boolean>
  /** Rewrites one sealed value, when it still is what was read (KEK rotation). */
  reseal(name: string, from: string, to: string): Promise<boolean>
}

/** What a key signs: handles, or what other systems verify under `ISSUER/federation`. */
export type KeyPurpose = 'handle' | 'federation'

export type SigningKeyRow = {
  readonly kid: string
  readonly purpose: KeyPurpose
  readonly publicJwk: JsonObject
  /** Private JWK, sealed under the KEK. */
  readonly sealedPrivateJwk: string
  readonly createdAt: Seconds
  /** Signs from here on; published before. */
  readonly activeFrom: Seconds
  /** Published until here. */
  readonly retireAt: Seconds
}

export interface SigningKeyStore {
  /** Of this purpose alone. */
  list(purpose: KeyPurpose): Promise<readonly SigningKeyRow[]>
  /** Adds a key unless its purpose has one with the same `activeFrom`; true when this call added it. */
  insert(row: SigningKeyRow): Promise<boolean>
  deleteRetired(before: Seconds): Promise<number>
  reseal(kid: string, from: string, to: string): Promise<boolean>
}

export type RestoreResult = 'restored' | 'ended' | 'changed'

export type SessionFilter = {
  readonly authMethod?: string
  readonly identity?: string
  readonly target?: string
  readonly binding?: string
  readonly agent?: string
  /** All that descend from this session. */
  readonly root?: string
  /** Of those, the ones right below this session; only together with `root`, which finds them. */
  readonly parent?: string
  readonly state?: SessionState
}

export interface SessionStore {
  get(id: string): Promise<DescribedSession | null>
  list(
    filter: SessionFilter,
    page: { readonly cursor: string | null; readonly limit: number },
  ): Promise<Page<DescribedSession>>
  end(id: string, event: EventDraft): Promise<boolean>
  /** Takes something away from a live session; false when it is over. */
  tighten(id: string, tightening: Restorable, event: EventDraft): Promise<boolean>
  /** Gives everything back, unless the state changed since `seen`, the id of its last change's event. */
  restore(id: string, seen: string | null, event: EventDraft): Promise<RestoreResult>
  /** Ends every live session that matches, in one statement; returns how many. */
  endWhere(filter: SessionFilter, event: EventDraft): Promise<number>
}

export interface ApprovalStore {
  get(id: string): Promise<(StoredApproval & { readonly subject: JsonObject }) | null>
  list(page: {
    readonly cursor: string | null
    readonly limit: number
  }): Promise<Page<StoredApproval & { readonly subject: JsonObject }>>
  /** Decides a pending, unexpired approval; the state that it has afterwards, null when there is none. */
  decide(
    id: string,
    to: 'approved' | 'denied',
    now: Seconds,
    event: EventDraft,
  ): Promise<ApprovalState | null>
}

export type AuditQuery = {
  readonly session?: string
  readonly decision?: string
  readonly type?: EventType
  /** Kind of origin as declared, of the action or else of its session. */
  readonly origin?: OriginKind
  /** Kind of origin that a token proved. */
  readonly originAttested?: OriginKind
  readonly cursor: string | null
  readonly limit: number
}

/** An event as listed: its place in the whole log besides its place in its chain. */
export type StoredEvent = ChainedEvent & { readonly seq: number }

export interface AuditStore {
  /** Oldest first; the cursor is opaque. By origin a page may be short, or empty, and not the last. */
  list(query: AuditQuery): Promise<Page<StoredEvent>>
}
