// The policy that denies ended sessions: what it says, and what it does when there are too many.
import { describe, expect, test } from 'vitest'
import { denyDocument, MAX_INLINE_CHARACTERS } from '../../functions/aws/deny-document.ts'

const sessions = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    sessionId: `ses_${String(i).padStart(32, '0')}`,
    // The first expire last.
    expiresAt: 10_000 - i,
  }))

describe('a deny at a role', () => {
  test('names the sessions, and nobody else is denied anything', () => {
    const { document, left } = denyDocument({ everything: false, sessions: sessions(2) })
    expect(left).toEqual([])
    expect(JSON.parse(document ?? '')).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'SallyportEnded',
          Effect: 'Deny',
          Action: '*',
          Resource: '*',
          Condition: {
            StringEquals: {
              'aws:PrincipalTag/sallyport_session': sessions(2).map(({ sessionId }) => sessionId),
            },
          },
        },
      ],
    })
  })

  test('without anybody is no policy at all', () => {
    expect(denyDocument({ everything: false, sessions: [] })).toEqual({ document: null, left: [] })
  })

  test('of everything has no condition, and none is ever empty', () => {
    const { document } = denyDocument({ everything: true, sessions: sessions(3) })
    expect(JSON.parse(document ?? '').Statement[0]).not.toHaveProperty('Condition')
    const none = denyDocument({ everything: false, sessions: sessions(1) }, 100)
    expect(none).toEqual({ document: null, left: sessions(1) })
  })

  test('is the same text whatever order the sessions come in', () => {
    const of = (list: ReturnType<typeof sessions>) =>
      denyDocument({ everything: false, sessions: list }).document
    expect(of(sessions(40).toReversed())).toBe(of(sessions(40)))
  })

  test('SC-10: never outgrows what IAM takes, keeps who expires last, and names who was left out', () => {
    const all = sessions(400)
    const { document, left } = denyDocument({ everything: false, sessions: all })
    expect(document?.length).toBeLessThanOrEqual(MAX_INLINE_CHARACTERS)
    expect(document?.length).toBeGreaterThan(MAX_INLINE_CHARACTERS - 50)
    const kept = all.length - left.length
    expect(left).toEqual(all.slice(kept))
    for (const [i, { sessionId }] of all.entries()) {
      expect(document?.includes(sessionId)).toBe(i < kept)
    }
  })
})
