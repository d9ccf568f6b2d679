// IAM's three calls: what is sent, and the one form of answer that is believed.
import { describe, expect, test } from 'vitest'
import type { AwsKeys } from '../../functions/aws/contract.ts'
import { awsEndpoint } from '../../functions/aws/endpoint.ts'
import { createIamFetch } from '../../functions/aws/iam-fetch.ts'
import { Secret } from '../../functions/core/credential.ts'
import {
  OutboundError,
  type OutboundRequest,
  type OutboundResponse,
} from '../../functions/net/outbound.ts'
import { manualClock } from '../fakes/manual-clock.ts'

const keys: AwsKeys = {
  accessKeyId: 'ASIAREVOKER000000001',
  secretAccessKey: new Secret('revokerSecretCanary1234567890abcdefABCDEF', null),
  sessionToken: new Secret('revokerSessionCanary==', null),
}
const policy = { roleName: 'reader', policyName: 'sallyport-ended-0123456789ab-lake' }
const DOCUMENT = '{"Version":"2012-10-17","Statement":[{"Sid":"é %2F+"}]}'

function api(answer: () => OutboundResponse, region = 'eu-central-1') {
  const sent: OutboundRequest[] = []
  const endpoint = awsEndpoint({ service: 'iam', region, env: () => undefined, loopback: false })
  if (!endpoint.ok) throw new Error(endpoint.failure)
  const iam = createIamFetch({
    outbound: async (request) => (sent.push(request), answer()),
    clock: manualClock(1_800_000_000),
    reach: { privateNetwork: false, loopback: false },
    endpoint: endpoint.value,
    keys,
  })
  return { iam, sent }
}

function answering(status: number, body: string, type = 'text/xml'): OutboundResponse {
  return { status, headers: [['content-type', type]], body: new Response(body).body }
}

const formOf = ({ body }: OutboundRequest) =>
  Object.fromEntries(new URLSearchParams(new TextDecoder().decode(body as Uint8Array)))

const done =
  (action: string, result = '') =>
  () =>
    answering(200, `<${action}Response>${result}<ResponseMetadata/></${action}Response>`)
const got = (document: string) =>
  done(
    'GetRolePolicy',
    `<GetRolePolicyResult><PolicyDocument>${document}</PolicyDocument></GetRolePolicyResult>`,
  )

describe('IAM', () => {
  test('is asked at the one endpoint of the partition, signed for its region', async () => {
    for (const [region, host, scope] of [
      ['eu-central-1', 'iam.amazonaws.com', 'us-east-1'],
      ['cn-northwest-1', 'iam.cn-north-1.amazonaws.com.cn', 'cn-north-1'],
      ['us-gov-east-1', 'iam.us-gov.amazonaws.com', 'us-gov-west-1'],
    ] as const) {
      const { iam, sent } = api(done('PutRolePolicy'), region)
      expect(await iam.putRolePolicy(policy, DOCUMENT)).toMatchObject({ ok: true })
      expect(sent[0]?.url.host).toBe(host)
      const [, authorization = ''] =
        sent[0]?.headers.find(([name]) => name === 'authorization') ?? []
      expect(authorization).toContain(`/${scope}/iam/aws4_request`)
    }
  })

  test('is sent role, name and document as they are', async () => {
    const { iam, sent } = api(done('PutRolePolicy'))
    await iam.putRolePolicy(policy, DOCUMENT)
    expect(sent.map(formOf)).toEqual([
      {
        Action: 'PutRolePolicy',
        Version: '2010-05-08',
        RoleName: policy.roleName,
        PolicyName: policy.policyName,
        PolicyDocument: DOCUMENT,
      },
    ])
    expect(JSON.stringify(sent.map(({ headers }) => headers))).not.toContain('SecretCanary')
  })

  test('a document comes back as it was put, and none is null', async () => {
    const { iam } = api(got(encodeURIComponent(DOCUMENT)))
    expect(await iam.getRolePolicy(policy)).toEqual({ ok: true, value: DOCUMENT })
    const error = '<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>'
    const none = api(() => answering(404, error))
    expect(await none.iam.getRolePolicy(policy)).toEqual({ ok: true, value: null })
    expect(await none.iam.deleteRolePolicy(policy)).toEqual({ ok: true, value: null })
    expect(await none.iam.putRolePolicy(policy, DOCUMENT)).toMatchObject({
      ok: false,
      failure: { kind: 'not_found', code: 'NoSuchEntity' },
    })
  })

  test.each([
    ['a document that is not encoded', got('%E0%A4%A'), 'foreign'],
    ['no document', done('GetRolePolicy', '<GetRolePolicyResult/>'), 'foreign'],
    ['another action', done('GetRole'), 'foreign'],
    ['HTML', () => answering(200, '<html></html>', 'text/html'), 'foreign'],
    ['XML in JSON', () => answering(200, '"<GetRolePolicyResponse/>"'), 'foreign'],
    ['nothing', () => answering(200, ''), 'foreign'],
    ['a redirect', () => answering(307, ''), 'foreign'],
    ['a refusal without a word', () => answering(403, '<ErrorResponse/>'), 'foreign'],
    ['too many', () => answering(429, '', 'text/plain'), 'throttled'],
    ['a fault', () => answering(500, ''), 'unavailable'],
    [
      'nobody',
      () => {
        throw new OutboundError('unresolvable')
      },
      'unavailable',
    ],
  ] as const)('%s is believed to be no policy', async (_, answer, kind) => {
    const read = await api(answer).iam.getRolePolicy(policy)
    expect(read).toMatchObject({ ok: false, failure: { kind } })
    const written = await api(answer).iam.deleteRolePolicy(policy)
    expect(written.ok).toBe(false)
  })
})
