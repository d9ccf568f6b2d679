// Who acts for whom, on verified identities: roles, `may_act`, and the `act` that a handle carries.
import { describe, expect, test } from 'vitest'
import { actorClaim, mayAct, partiesOf } from '../../functions/core/delegation.ts'
import type { Identity, JsonObject } from '../../functions/core/identity.ts'

const ISSUER = 'https://broker.example'
const HERE = { issuer: ISSUER, maxDelegationDepth: 4 }

function identity(change: Partial<Identity> = {}): Identity {
  return {
    method: 'agents',
    methodType: 'oidc',
    kind: 'workload',
    subject: 'agent-7',
    claims: { iss: 'https://idp.example', sub: 'agent-7' },
    act: null,
    expiresAt: 2_000_000_000,
    attestationHash: 'ab'.repeat(32),
    evidence: {},
    ...change,
  }
}

const user = (claims: JsonObject = {}, change: Partial<Identity> = {}) =>
  identity({
    method: 'people',
    kind: 'user',
    subject: 'ada',
    claims: { iss: 'https://idp.example', sub: 'ada', ...claims },
    attestationHash: 'cd'.repeat(32),
    ...change,
  })

describe('parties', () => {
  test('AC-03 AC-08: an agent for a user: the user is the subject, the agent the current actor', () => {
    const parties = partiesOf(user(), identity(), HERE)
    expect(parties).toMatchObject({
      ok: true,
      value: {
        identity: { method: 'agents' },
        onBehalfOf: { relation: 'delegation', identity: 'people:ada' },
        sub: 'people:ada',
        act: { iss: ISSUER, sub: 'agents:agent-7' },
      },
    })
  })

  test('what was issued to one agent names nobody in the hands of another, or of none', () => {
    const grant = { presenter: 'agents:agent-7', targets: null, scope: null }
    const issued = user({}, { grant })
    expect(partiesOf(issued, identity(), HERE)).toMatchObject({ ok: true })
    const others = [identity({ subject: 'agent-8' }), identity({ method: 'other' }), null]
    for (const actor of others) {
      expect(partiesOf(issued, actor, HERE)).toMatchObject({
        ok: false,
        failure: { kind: 'attestation_rejected', reason: 'claim_mismatch', claim: 'client_id' },
      })
    }
  })

  test('AC-08: a user alone is an impersonation, and nobody is its actor', () => {
    expect(partiesOf(user(), null, HERE)).toMatchObject({
      ok: true,
      value: { onBehalfOf: { relation: 'impersonation' }, sub: 'people:ada', act: null },
    })
    expect(partiesOf(identity(), null, HERE)).toMatchObject({
      ok: true,
      value: { onBehalfOf: null, sub: 'agents:agent-7' },
    })
  })

  test.each([
    ['AC-09 swapped', identity(), user(), 'subject'],
    ['a workload for a workload', identity(), identity({ method: 'other' }), 'subject'],
    ['a user for a user', user(), user({ sub: 'eve' }), 'actor'],
  ])('TX-07: a token in the wrong role is refused: %s', (_, subject, actor, role) => {
    expect(partiesOf(subject, actor, HERE)).toMatchObject({
      ok: false,
      failure: { kind: 'attestation_rejected', role, reason: 'wrong_role' },
    })
  })

  test('AC-05: a token with may_act opens nothing for whoever presents it alone', () => {
    expect(partiesOf(user({ may_act: { sub: 'agent-7' } }), null, HERE)).toMatchObject({
      ok: false,
      failure: { reason: 'may_not_act' },
    })
  })
})

describe('may_act', () => {
  const actor = identity({
    claims: { iss: 'https://idp.example', sub: 'agent-7', client_id: 'bot', groups: ['a', 'b'] },
  })
  const permits = (named: unknown) =>
    mayAct({ iss: 'https://idp.example', may_act: named as JsonObject }, actor)

  test.each([
    ['sub, of the same issuer', { sub: 'agent-7' }],
    ['sub and iss', { sub: 'agent-7', iss: 'https://idp.example' }],
    ['client_id', { client_id: 'bot' }],
    ['a list as a whole', { sub: 'agent-7', groups: ['a', 'b'] }],
  ])('AC-04: names the actor by %s', (_, named) => expect(permits(named)).toBe(true))

  test.each([
    ['another sub', { sub: 'agent-8' }],
    ['the same sub of another issuer', { sub: 'agent-7', iss: 'https://other.example' }],
    ['a member that the actor lacks', { sub: 'agent-7', tenant: 'x' }],
    ['part of a list', { sub: 'agent-7', groups: ['a'] }],
    ['nobody', {}],
    ['no name', { groups: ['a', 'b'] }],
    ['a text', 'agent-7'],
    ['null', null],
    ['a list', [{ sub: 'agent-7' }]],
    ['a prototype', { sub: 'agent-7', toString: null }],
  ])('AC-04 RB-05: does not name the actor by %s', (_, named) => expect(permits(named)).toBe(false))

  test('AC-04: without iss it speaks of its own issuer, and of nobody where there is none', () => {
    const elsewhere = identity({ claims: { iss: 'https://other.example', sub: 'agent-7' } })
    const may_act = { sub: 'agent-7' }
    expect(mayAct({ iss: 'https://idp.example', may_act }, elsewhere)).toBe(false)
    expect(mayAct({ may_act }, elsewhere)).toBe(false)
    expect(mayAct({ may_act }, identity({ claims: { sub: 'agent-7' } }))).toBe(false)
  })

  test('AC-05: absent, it is left to the policy', () => {
    expect(mayAct({}, actor)).toBe(true)
  })
})

describe('act', () => {
  test('AC-03: A, then B, then C nests as act: { C, act: { B, act: { A } } }', () => {
    const prior = { sub: 'b', act: { sub: 'a' } }
    const parties = partiesOf(user({}, { act: prior }), identity(), HERE)
    expect(parties.ok && parties.value.act).toEqual({
      iss: ISSUER,
      sub: 'agents:agent-7',
      act: {
        iss: 'https://idp.example',
        sub: 'b',
        act: { iss: 'https://idp.example', sub: 'a' },
      },
    })
  })

  test('RB-05: an earlier actor never reads as a name of this broker', () => {
    const prior = { sub: 'agents:root' }
    const parties = partiesOf(user({}, { act: prior }), identity(), HERE)
    expect(parties.ok && parties.value.act).toMatchObject({ act: { iss: 'https://idp.example' } })
    const alone = partiesOf(identity({ act: prior, claims: {} }), null, HERE)
    expect(alone.ok && alone.value.act).toEqual({ iss: 'agents', sub: 'agents:root' })
    const forged = partiesOf(identity({ act: { ...prior, iss: ISSUER } }), null, HERE)
    expect(forged.ok && forged.value.act).toMatchObject({ iss: 'https://idp.example' })
  })

  test('AC-06: one actor more than are carried is refused', () => {
    let act: JsonObject = { sub: 'a0' }
    for (let i = 1; i < HERE.maxDelegationDepth; i++) act = { sub: `a${i}`, act }
    expect(actorClaim(identity(), act, HERE).ok).toBe(true)
    expect(actorClaim(identity(), { sub: 'z', act }, HERE)).toMatchObject({
      ok: false,
      failure: { kind: 'attestation_rejected', reason: 'chain_too_long' },
    })
  })
})
