// An approval fits one normalised action of one session, once (design/api.md, Refusals).
import type { Seconds } from './ports.ts'

export type Approval = {
  readonly id: string
  /** ISSUER/admin/v1/approvals/{id} */
  readonly url: string
  readonly expiresAt: Seconds
}

export type ApprovalState = 'pending' | 'approved' | 'denied' | 'used'
