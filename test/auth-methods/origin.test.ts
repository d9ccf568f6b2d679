// What a token proves of its origin, and what it does not: by preset, by configuration, on every JWT method.
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
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
