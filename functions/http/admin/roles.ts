// Which role permits what: one table. A role includes what stands in its row and nothing else; an
// evaluator is another gateway, and reads nothing.
import type { AdminRole } from '../../policy/admin-target.ts'

const INCLUDES: Readonly<Record<AdminRole, readonly AdminRole[]>> = {
  viewer: ['viewer'],
  editor: ['viewer', 'editor'],
  approver: ['viewer', 'approver'],
  evaluator: ['evaluator'],
  admin: ['viewer', 'editor', 'approver', 'evaluator', 'admin'],
}

/** Whether somebody who holds `held` may do what needs `needed`. */
export function rolePermits(held: AdminRole, needed: AdminRole): boolean {
  return INCLUDES[held].includes(needed)
}
