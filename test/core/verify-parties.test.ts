// The subject and the actor of an exchange are verified one by one, each within the rate limits of its own
// methods, and neither instead of the other.
import { expect, test } from 'vitest'
import type { CompiledAuthMethod, UntrustedAttestation } from '../../functions/core/auth-method.ts'
import type { ExchangeDeps, ProvenRequest } from '../../functions/core/exchange.ts'
import type { Identity } from '../../functions/core/identity.ts'
import { NOTHING_PROVEN } from '../../functions/core/proof.ts'
import { fail, ok } from '../../functions/core/result.ts'
import type { PolicySnapshot } from '../../functions/core/snapshot.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { verifyParties } from '../../functions/core/verify-parties.ts'

const SLOW = { kind: 'slow_down', retryAfterSeconds: 1 } as const

function method(name: string, kind: Identity['kind']): CompiledAuthMethod {
  const identity: Identity = {
    method: name,
    methodType: 'oidc',
    kind,
    subject: 's',
    claims: {},
    act: null,
    expiresAt: null,
    attestationHash: '',
    evidence: {},
  }
  return {
    name,
    type: 'oidc',
    selector: { by: 'issuer', issuer: name },
    tokenTypes: [TOKEN_TYPES.jwt],
    accepts: () => true,
    verify: async ({ token }) =>
      token === name ? ok(identity) : fail({ reason: 'bad_signature' }),
  }
}

const methods = [method('people', 'user'), method('agents', 'workload')]
const snapshot: PolicySnapshot = {
  revision: 1,
  userMethods: new Set(['people']),
  methodsBySelector: new Map(methods.map((one) => [`issuer ${one.name}`, [one]])),
  methods: new Map(methods.map((one) => [one.name, one])),
  targets: new Map(),
  intentPolicies: new Map(),
}

async function verify(
  change: Partial<ProvenRequest>,
  limited: readonly string[] = [],
  revision = 1,
) {
  const asked: string[] = []
  const attestation = (token: string): UntrustedAttestation => ({
    token,
    tokenType: TOKEN_TYPES.jwt,
  })
  // What else an exchange asks for, this part of it never looks at.
  const request = {
    subject: attestation('people'),
    actor: attestation('agents'),
    client: null,
    source: null,
    authMethod: null,
    proven: NOTHING_PROVEN,
    ...change,
  } as ProvenRequest
  const deps = {
    issuer: 'https://broker.example',
    select: ({ token }: UntrustedAttestation) => ok({ by: 'issuer', issuer: token }),
    limits: {
      enterMethods: (_: string | null, candidates: readonly { name: string }[]) => {
        asked.push(...candidates.map(({ name }) => name))
        const isLimited = candidates.some(({ name }) => limited.includes(name))
        return isLimited ? fail(SLOW) : ok(() => undefined)
      },
    },
    policy: { refreshLimited: async () => ({ ...snapshot, revision }) },
  } as unknown as ExchangeDeps
  return { result: await verifyParties(request, snapshot, deps), asked }
}

test('both attestations are held to the limits of their methods', async () => {
  expect((await verify({})).asked).toEqual(['people', 'agents'])
  expect((await verify({}, ['people'])).result).toEqual(fail(SLOW))
  const { result } = await verify({}, ['agents'])
  expect(result).toEqual(fail(SLOW))
})

test('AC-09: a refused subject is not made good by its actor, nor the other way round', async () => {
  const bad = { token: 'x', tokenType: TOKEN_TYPES.jwt }
  const rejected = { ok: false, failure: { kind: 'attestation_rejected' } }
  expect((await verify({ subject: bad })).result).toMatchObject({
    ...rejected,
    failure: { role: 'subject', reason: 'unknown_issuer' },
  })
  expect((await verify({ actor: bad })).result).toMatchObject({
    ...rejected,
    failure: { role: 'actor', reason: 'unknown_issuer' },
  })
})

test('roles that a newer policy may have changed are looked at again, not refused for ever', async () => {
  const swapped = { subject: { token: 'agents', tokenType: TOKEN_TYPES.jwt } }
  expect((await verify(swapped)).result).toMatchObject({ failure: { reason: 'wrong_role' } })
  expect((await verify(swapped, [], 2)).result).toBe('policy_changed')
})
