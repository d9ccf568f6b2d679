import { beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { jwtMethodContract } from './contract.ts'
import {
  createWorld,
  ISSUER,
  memberOf,
  mistakes,
  outcome,
  verifyClaims,
  type World,
} from './setup.ts'

const member = memberOf('kubernetes')
jwtMethodContract(member)

let world: World
beforeAll(async () => {
  world = await createWorld(member)
})

/** Claims of a service account, consistent unless changed. */
function account(namespace: string, name: string, nested: JsonObject = {}): JsonObject {
  return {
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': { namespace, serviceaccount: { name, uid: 'sa-uid' }, ...nested },
  }
}

describe('kubernetes tokens', () => {
  it('K8-01 K8-02 takes a projected token and keeps its nested claims', async () => {
    const result = await verifyClaims(world, member, {})
    expect(result.ok && result.value.subject).toBe('system:serviceaccount:analytics:etl')
    expect(result.ok && result.value.claims['kubernetes.io']).toEqual(
      expect.objectContaining({ namespace: 'analytics' }),
    )
  })

  const disagreeing: readonly (readonly [string, JsonObject, string])[] = [
    ['another namespace', { namespace: 'kube-system' }, 'claim_mismatch'],
    ['another account', { serviceaccount: { name: 'root', uid: 'x' } }, 'claim_mismatch'],
    ['no uid', { serviceaccount: { name: 'etl' } }, 'missing_claim'],
    ['no account', { serviceaccount: {} }, 'missing_claim'],
    ['an account that is a text', { serviceaccount: 'etl' }, 'missing_claim'],
    ['a namespace that is a list', { namespace: ['analytics'] }, 'claim_mismatch'],
  ]
  it.each(disagreeing)('K8-02 refuses a nested claim with %s', async (_name, nested, expected) => {
    expect(outcome(await verifyClaims(world, member, account('analytics', 'etl', nested)))).toBe(
      expected,
    )
  })

  it('K8-02 refuses a token without the nested claim', async () => {
    expect(outcome(await verifyClaims(world, member, { 'kubernetes.io': null }))).toBe(
      'missing_claim',
    )
    expect(outcome(await verifyClaims(world, member, { 'kubernetes.io': 'x' }))).toBe(
      'missing_claim',
    )
  })

  it('K8-02 refuses legacy secret-based tokens, by issuer, by exp and by shape', async () => {
    const legacy = {
      'kubernetes.io/serviceaccount/namespace': 'analytics',
      'kubernetes.io/serviceaccount/service-account.name': 'etl',
    }
    expect(
      outcome(await verifyClaims(world, member, { ...legacy, iss: 'kubernetes/serviceaccount' })),
    ).toBe('unknown_issuer')
    expect(outcome(await verifyClaims(world, member, { ...legacy, exp: null }))).toBe(
      'missing_claim',
    )
    expect(outcome(await verifyClaims(world, member, legacy))).toBe('type_not_allowed')
    expect(mistakes(world, member, { issuer: 'kubernetes/serviceaccount' })).toEqual([
      '/config/issuer unsafe',
    ])
  })

  it.each([
    'system:serviceaccount:analytics',
    'system:serviceaccount:analytics:etl:x',
    'system:node:analytics:etl',
    'serviceaccount:analytics:etl',
    'System:serviceaccount:analytics:etl',
    'system:serviceaccount:analytics:etl ',
    'system:serviceaccount::etl',
    'etl',
  ])('K8-02 refuses the sub %s', async (sub) => {
    expect(outcome(await verifyClaims(world, member, { sub }))).toBe('claim_mismatch')
  })

  it('lets in the namespaces and accounts that are listed, and nobody else', async () => {
    const config = { namespaces: ['analytics', 'ml'], service_accounts: ['etl', 'train.v1'] }
    const run = async (namespace: string, name: string) =>
      outcome(await verifyClaims(world, member, account(namespace, name), config))
    expect(await run('ml', 'train.v1')).toBe('accepted')
    expect(await run('ml', 'etl')).toBe('accepted')
    expect(await run('ml-evil', 'etl')).toBe('claim_mismatch')
    expect(await run('m', 'etl')).toBe('claim_mismatch')
    expect(await run('ml', 'train.v10')).toBe('claim_mismatch')
    expect(await run('ml', 'ETL')).toBe('claim_mismatch')
    const anyNamespace = { namespaces: ['*'], service_accounts: ['agent'] }
    expect(outcome(await verifyClaims(world, member, account('x', 'agent'), anyNamespace))).toBe(
      'accepted',
    )
  })

  it('K8-03 K8S-1 a recreated service account is refused where its uid is pinned', async () => {
    const pinned = {
      match: {
        '/kubernetes.io/serviceaccount/uid': 'sa-uid',
        '/kubernetes.io/pod/uid': 'pod-uid',
      },
    }
    const nested = (uid: string, pod: JsonObject): JsonObject => ({
      serviceaccount: { name: 'etl', uid },
      pod,
    })
    const run = async (uid: string, pod: JsonObject) =>
      outcome(
        await verifyClaims(world, member, account('analytics', 'etl', nested(uid, pod)), pinned),
      )
    expect(await run('sa-uid', { name: 'p', uid: 'pod-uid' })).toBe('accepted')
    expect(await run('new-uid', { name: 'p', uid: 'pod-uid' })).toBe('claim_mismatch')
    expect(await run('sa-uid', { name: 'p' })).toBe('claim_mismatch')
  })

  it('K8S-1 refuses a token of another cluster with the same kid, and one without audience', async () => {
    expect(outcome(await verifyClaims(world, member, { iss: 'https://other.example' }))).toBe(
      'unknown_issuer',
    )
    expect(outcome(await verifyClaims(world, member, { aud: null }))).toBe('missing_claim')
  })

  it.each([
    'https://kubernetes.default.svc',
    'https://kubernetes.default.svc.cluster.local',
    ISSUER,
  ])('K8-04 refuses a token for the API server (%s), alone or besides ours', async (audience) => {
    for (const aud of [audience, [audience], ['me', audience]]) {
      expect(outcome(await verifyClaims(world, member, { aud }))).toBe('wrong_audience')
    }
  })
})

describe('configuration of kubernetes', () => {
  it('K8-04 the audience of the API server cannot be configured, its issuer included', () => {
    const audiences = ['me', 'https://kubernetes.default.svc', ISSUER, 'k3s']
    expect(mistakes(world, member, { audiences })).toEqual([
      '/config/audiences/1 unsafe',
      '/config/audiences/3 unsafe',
      '/config/audiences/2 unsafe',
    ])
  })

  it('namespaces and service accounts are required', () => {
    expect(mistakes(world, member, { namespaces: null, service_accounts: [] })).toEqual([
      '/config/namespaces required',
      '/config/service_accounts range',
    ])
  })

  it.each(['', 'Team', 'team-*', '**', 'a/b', 'a:b', '-a', 'a-', 'a b', 'x'.repeat(254)])(
    'POL-4 "%s" is neither a name nor `*`',
    (name) => {
      expect(mistakes(world, member, { namespaces: [name], service_accounts: [name] })).toEqual([
        '/config/namespaces/0 format',
        '/config/service_accounts/0 format',
      ])
    },
  )

  it('a whole cluster is let in only when something else is pinned', () => {
    const open = { namespaces: ['*'], service_accounts: ['*'] }
    expect(mistakes(world, member, open)).toEqual(['/config/namespaces unsafe'])
    const match = { '/kubernetes.io/serviceaccount/uid': ['a', 'b'] }
    expect(mistakes(world, member, { ...open, match })).toEqual([])
  })
})
