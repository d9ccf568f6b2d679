// What a token proves of its origin, and what it does not: by preset, by configuration, on every JWT method.
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { mistakes as signedMistakes, signed, verify as verifySigned } from './aws-iam-setup.ts'
import { createWorld, type Member, memberOf, mistakes, NOW, verifyClaims } from './setup.ts'

const oidc = memberOf('oidc')

async function originOf(member: Member, config: JsonObject, claims: JsonObject) {
  const world = await createWorld({ ...member, config: { ...member.config, ...config } })
  const verified = await verifyClaims(
    world,
    { ...member, config: { ...member.config, ...config } },
    claims,
  )
  if (!verified.ok) throw new Error(JSON.stringify(verified.failure))
  return verified.value.origin
}

const GITHUB = 'https://token.actions.githubusercontent.com'
const GITLAB = 'https://gitlab.com'

const github: Member = {
  ...oidc,
  keysOf: GITHUB,
  config: { preset: 'github-actions', audiences: ['me'], match: { repository_id: '74' } },
  claims: {
    iss: GITHUB,
    sub: 'repo:acme/app:ref:refs/heads/main',
    aud: 'me',
    iat: NOW - 10,
    exp: NOW + 300,
    repository_id: '74',
    repository_owner_id: '65',
    run_id: '812',
    ref: 'refs/heads/main',
    workflow_ref: 'acme/app/.github/workflows/n.yml@refs/heads/main',
    workflow_sha: '9f2c',
  },
}

const gitlab: Member = {
  ...oidc,
  keysOf: GITLAB,
  config: { preset: 'gitlab', audiences: ['me'], match: { project_id: '7' } },
  claims: {
    iss: GITLAB,
    sub: 'project_path:acme/app:ref_type:branch:ref:main',
    aud: 'me',
    iat: NOW - 10,
    exp: NOW + 300,
    project_id: '7',
    namespace_id: '3',
    ref_protected: 'true',
    ref: 'main',
    pipeline_id: '55',
    ci_config_ref_uri: 'gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main',
    ci_config_sha: '714a',
  },
}

describe('presets know the schedule of their platform', () => {
  test('github-actions: event_name schedule', async () => {
    expect(await originOf(github, {}, { event_name: 'schedule' })).toEqual({
      kind: 'schedule',
      id: '812',
      definition: {
        name: github.claims['workflow_ref'],
        version: 'refs/heads/main',
        hash: '9f2c',
      },
    })
    for (const event_name of ['push', 'workflow_dispatch', 'Schedule']) {
      expect(await originOf(github, {}, { event_name })).toBeUndefined()
    }
  })

  test('gitlab: pipeline_source schedule', async () => {
    expect(await originOf(gitlab, {}, { pipeline_source: 'schedule' })).toEqual({
      kind: 'schedule',
      id: '55',
      definition: { name: gitlab.claims['ci_config_ref_uri'], version: 'main', hash: '714a' },
    })
    expect(await originOf(gitlab, {}, { pipeline_source: 'push' })).toBeUndefined()
  })

  test('what the config says of it counts instead', async () => {
    const origin = { kind: 'schedule', when: { run_id: '812' } }
    expect(await originOf(github, { origin }, { event_name: 'push' })).toEqual({ kind: 'schedule' })
  })
})

test('a service account that only a CronJob runs as proves its schedule by every token', async () => {
  const origin = {
    kind: 'schedule',
    id_claim: '/kubernetes.io/pod/name',
    definition: { name: '/kubernetes.io/serviceaccount/name' },
  }
  expect(await originOf(memberOf('kubernetes'), { origin }, {})).toEqual({
    kind: 'schedule',
    id: 'etl-0',
    definition: { name: 'etl' },
  })
})

describe('scheduled runs whose token does not say what they run', () => {
  test('a CronJob: account and pod by the token, version and hash by the policy, and marked so', async () => {
    const origin = {
      kind: 'schedule',
      when: { '/kubernetes.io/serviceaccount/name': 'etl' },
      id_claim: '/kubernetes.io/pod/name',
      definition: {
        name: '/kubernetes.io/serviceaccount/name',
        version: { value: '2026-11-01' },
        hash: { value: 'sha256:9f2c' },
      },
    }
    expect(await originOf(memberOf('kubernetes'), { origin }, {})).toEqual({
      kind: 'schedule',
      id: 'etl-0',
      definition: { name: 'etl', version: '2026-11-01', hash: 'sha256:9f2c' },
      definition_by_policy: ['version', 'hash'],
    })
  })

  test('Cloud Scheduler: an account of its own, told by the preset google', async () => {
    const email = 'nightly-etl@p.iam.gserviceaccount.com'
    const google: Member = {
      ...oidc,
      keysOf: 'https://accounts.google.com',
      config: {
        preset: 'google',
        audiences: ['me'],
        match: { email },
        origin: {
          kind: 'schedule',
          definition: { name: { value: 'projects/p/locations/l/jobs/etl' }, version: 'email' },
        },
      },
      claims: {
        iss: 'https://accounts.google.com',
        aud: 'me',
        sub: '1078',
        azp: '1078',
        email,
        email_verified: true,
        iat: NOW - 10,
        exp: NOW + 300,
      },
    }
    expect(await originOf(google, {}, {})).toEqual({
      kind: 'schedule',
      definition: { name: 'projects/p/locations/l/jobs/etl', version: email },
      definition_by_policy: ['name'],
    })
  })

  test('EventBridge: a role that only the schedule runs as, by aws-iam', async () => {
    const role = 'arn:aws:iam::123456789012:role/agent'
    const origin = {
      kind: 'schedule',
      when: { role },
      id_claim: 'session_name',
      definition: { name: 'role', hash: { value: 'sha256:77aa' } },
    }
    const verified = await verifySigned(await signed(), { origin, roles: [role] })
    expect(verified.ok && verified.value.origin).toEqual({
      kind: 'schedule',
      id: 'i-0abc',
      definition: { name: role, hash: 'sha256:77aa' },
      definition_by_policy: ['hash'],
    })
    const other = { ...origin, when: { role: `${role}-of-people` } }
    const unscheduled = await verifySigned(await signed({ at: NOW + 1 }), { origin: other })
    expect(unscheduled.ok && unscheduled.value).not.toHaveProperty('origin')
  })

  test.each(['session_name', '/session_name', 'arn', 'user_id'])(
    'AW-14 that %s has a value proves no schedule, and cannot be saved as if it did',
    (claim) => {
      const origin = { kind: 'schedule', when: { [claim]: 'nightly' } }
      expect(signedMistakes({ origin })).toEqual([
        `/config/origin/when/${claim.replace('/', '~1')} unsafe`,
      ])
    },
  )

  test.each([
    [{ value: '' }, '/config/origin/definition/hash/value format'],
    [{ value: 'a\nb' }, '/config/origin/definition/hash/value format'],
    [{ value: 'x'.repeat(2049) }, '/config/origin/definition/hash/value format'],
    [{ value: 7 }, '/config/origin/definition/hash/value type'],
    [{}, '/config/origin/definition/hash/value required'],
    [{ value: 'x', claim: 'y' }, '/config/origin/definition/hash/claim unknown_member'],
    [7, '/config/origin/definition/hash type'],
  ])('a part of a definition that is %j is refused', async (hash, mistake) => {
    const origin = { kind: 'schedule', definition: { hash } }
    const found = mistakes(await createWorld(oidc), oidc, { ...oidc.config, origin })
    expect(found).toEqual([mistake])
  })
})

test('a claim that is missing or no text is left out, and a condition on one does not hold', async () => {
  const definition = { name: 'gone', version: 'list', hash: 'hash' }
  const origin = { kind: 'schedule', id_claim: 'run', definition }
  expect(await originOf(oidc, { origin }, { list: ['a'], hash: 'x', run: 7 })).toEqual({
    kind: 'schedule',
    id: '7',
    definition: { hash: 'x' },
  })
  expect(await originOf(oidc, { origin: { ...origin, when: { gone: 'x' } } }, {})).toBeUndefined()
})

test('without an origin in the config a token proves none, whatever it says', async () => {
  expect(
    await originOf(oidc, {}, { origin: { kind: 'user' }, event_name: 'schedule' }),
  ).toBeUndefined()
})

test('what the caller chose proves nothing of the origin', async () => {
  const origin = {
    kind: 'schedule',
    when: { '/https:~1~1sts.amazonaws.com~1/request_tags/team': 'admin' },
  }
  expect(await originOf(memberOf('aws-web-identity'), { origin }, {})).toBeUndefined()
})

test('every mistake of an origin and of security_events is told', async () => {
  const world = await createWorld(oidc)
  expect(
    mistakes(world, oidc, {
      ...oidc.config,
      origin: { kind: 'user', when: 1, definition: [], id_claim: '' },
      security_events: 'yes',
    }),
  ).toEqual(
    expect.arrayContaining([
      '/config/origin/kind value',
      '/config/origin/when type',
      '/config/origin/definition type',
      '/config/security_events type',
    ]),
  )
  const spiffe = memberOf('spiffe-jwt')
  const other = await createWorld(spiffe)
  // A trust domain has no issuer of events of its own.
  expect(
    mistakes(other, spiffe, { ...spiffe.config, security_events: { audience: 'me' } }),
  ).toEqual([
    '/config/security_events/issuer required',
    '/config/security_events/jwks_uri required',
  ])
})
