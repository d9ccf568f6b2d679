// The inline policy that denies ended sessions at a role: all of it made anew each time, so that whoever
// writes it last, whatever was there before, it says what the store says.
import type { Denied, EndedSession } from '../core/withdrawal.ts'
import { SESSION_TAG } from '../targets/aws-names.ts'

/** Of all inline policies of a role together, without white space (IAM quotas). */
export const MAX_INLINE_CHARACTERS = 10_240

export type DenyDocument = {
  /** Null: nobody is denied anything. */
  readonly document: string | null
  /** For whom there was no room. */
  readonly left: readonly EndedSession[]
}

/**
 * When there are too many, those that expire first are left out: what they hold ends soonest by itself. They
 * are named, so that nobody takes the policy for more than it says.
 */
export function denyDocument(
  { everything, sessions }: Denied,
  maxCharacters = MAX_INLINE_CHARACTERS,
): DenyDocument {
  if (everything) return { document: policyOf(null), left: [] }
  if (sessions.length === 0) return { document: null, left: [] }
  const latestFirst = sessions.toSorted(
    (one, other) => other.expiresAt - one.expiresAt || compare(one.sessionId, other.sessionId),
  )
  let room = maxCharacters - policyOf([]).length
  const fitting = latestFirst.findIndex(({ sessionId }) => {
    room -= JSON.stringify(sessionId).length + 1
    return room < 0
  })
  const kept = fitting === -1 ? latestFirst : latestFirst.slice(0, fitting)
  const ids = kept.map(({ sessionId }) => sessionId).toSorted(compare)
  return {
    document: ids.length === 0 ? null : policyOf(ids),
    left: fitting === -1 ? [] : latestFirst.slice(fitting),
  }
}

function policyOf(sessions: readonly string[] | null): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'SallyportEnded',
        Effect: 'Deny',
        Action: '*',
        Resource: '*',
        ...(sessions === null
          ? {}
          : { Condition: { StringEquals: { [`aws:PrincipalTag/${SESSION_TAG}`]: sessions } } }),
      },
    ],
  })
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
