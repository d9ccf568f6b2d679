import { expect, test } from 'vitest'
import type { ChainedEvent } from '../../../functions/core/audit.ts'
import { chainEvent, EMPTY_CHAIN } from '../../../functions/core/audit.ts'
import { draftEvent } from '../../../functions/core/events.ts'
import { adminWorld } from './world.ts'

const MEMBERS =
  'id seq time type decision_id session_id identity agent intent origin action scope outcome reason policy_revision prev_hash hash chain chain_seq'

test('AUD-9: events are shown with exactly the members of the contract, and hash as they are shown', async () => {
  const seed = adminWorld()
  const draft = draftEvent(
    { type: 'decision', decisionId: 'dec_1', outcome: { verdict: 'allow' }, policyRevision: 1 },
    seed.deps,
  )
  const event = { ...chainEvent(draft, 'ses_1', EMPTY_CHAIN, seed.deps.hashing), seq: 7 }
  const { send } = adminWorld({ events: [{ ...event, internal: 'x' } as typeof event] })
  const { body } = await send('GET', '/audit', { role: 'viewer' })
  const [shown] = body['items'] as (ChainedEvent & { seq: number })[]
  expect(Object.keys(shown ?? {}).join(' ')).toBe(MEMBERS)
  const { seq: _, hash, prev_hash: __, chain, chain_seq: ___, ...again } = shown ?? event
  expect(chainEvent(again, chain, EMPTY_CHAIN, seed.deps.hashing).hash).toBe(hash)
})

test('the log is filtered by session, decision and type, page by page', async () => {
  const { send, queries } = adminWorld()
  await send('GET', '/audit?session=ses_1&decision=dec_1&type=refusal&cursor=abc&limit=5')
  await send('GET', '/audit')
  expect(queries).toEqual([
    { session: 'ses_1', decision: 'dec_1', type: 'refusal', cursor: 'abc', limit: 5 },
    { cursor: null, limit: 100 },
  ])
})
