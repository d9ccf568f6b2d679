// Where AWS is called: by AWS's own table, or the deployment's environment; never anywhere else.
import { STSClient } from '@aws-sdk/client-sts'
import { describe, expect, test } from 'vitest'
import type { AwsService } from '../../functions/aws/contract.ts'
import { awsEndpoint } from '../../functions/aws/endpoint.ts'
import { awsRegion, isPartition, serviceHosts } from '../../functions/aws/partitions.ts'

const ask = (
  service: AwsService,
  region: string,
  more: Partial<Parameters<typeof awsEndpoint>[0]> = {},
) => awsEndpoint({ service, region, env: () => undefined, loopback: false, ...more })

const at = (...question: Parameters<typeof ask>) => {
  const endpoint = ask(...question)
  return endpoint.ok ? `${endpoint.value.url.href} ${endpoint.value.region}` : endpoint.failure
}

test.each([
  ['sts', 'eu-west-1', 'https://sts.eu-west-1.amazonaws.com/ eu-west-1'],
  ['sts', 'us-east-1', 'https://sts.us-east-1.amazonaws.com/ us-east-1'],
  ['sts', 'cn-north-1', 'https://sts.cn-north-1.amazonaws.com.cn/ cn-north-1'],
  ['sts', 'us-gov-west-1', 'https://sts.us-gov-west-1.amazonaws.com/ us-gov-west-1'],
  ['sts', 'eusc-de-east-1', 'https://sts.eusc-de-east-1.amazonaws.eu/ eusc-de-east-1'],
  ['secretsmanager', 'eu-west-1', 'https://secretsmanager.eu-west-1.amazonaws.com/ eu-west-1'],
  ['ssm', 'cn-northwest-1', 'https://ssm.cn-northwest-1.amazonaws.com.cn/ cn-northwest-1'],
  ['iam', 'eu-west-1', 'https://iam.amazonaws.com/ us-east-1'],
  ['iam', 'cn-northwest-1', 'https://iam.cn-north-1.amazonaws.com.cn/ cn-north-1'],
  ['iam', 'us-gov-east-1', 'https://iam.us-gov.amazonaws.com/ us-gov-west-1'],
] as const)(
  '%s of %s is the host of its region, or of its partition (SC-09)',
  (service, region, expected) => {
    expect(at(service, region)).toBe(expected)
  },
)

test.each(['', 'aws-global', 'us-east-9', 'x@evil.example', 'eu-west-1/..', '__proto__'])(
  'no host is made of a region that is not in the table: %j',
  (region) => {
    expect(at('sts', region)).toBe('unknown_region')
    expect(awsRegion(region)).toBe(undefined)
  },
)

test('a partition is one by its own name', () => {
  expect([isPartition('aws'), isPartition('aws-cn'), isPartition('toString')]).toEqual([
    true,
    true,
    false,
  ])
})

describe('the environment', () => {
  const env =
    (settings: Readonly<Record<string, string>>) =>
    (name: string): string | undefined =>
      settings[name]

  test('names endpoints as AWS’s SDKs know them, the service’s own first', () => {
    const both = env({
      AWS_ENDPOINT_URL: 'https://all.example',
      AWS_ENDPOINT_URL_STS: 'https://sts.example',
    })
    expect(at('sts', 'eu-west-1', { env: both })).toBe('https://sts.example/ eu-west-1')
    expect(at('ssm', 'eu-west-1', { env: both })).toBe('https://all.example/ eu-west-1')
    const off = env({
      AWS_ENDPOINT_URL: 'https://all.example',
      AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true',
    })
    expect(at('sts', 'eu-west-1', { env: off })).toBe(
      'https://sts.eu-west-1.amazonaws.com/ eu-west-1',
    )
  })

  test.each([
    ['http://sts.example', false, 'scheme'],
    ['http://sts.example', true, 'scheme'],
    ['http://127.0.0.1:4566', false, 'scheme'],
    ['http://127.0.0.1:4566', true, 'http://127.0.0.1:4566/ eu-west-1'],
    ['https://sts.example/path', false, 'not_an_origin'],
    ['https://user@sts.example', false, 'not_an_origin'],
    ['sts.example', false, 'not_a_url'],
  ])('%s with loopback %s: %s', (url, loopback, expected) => {
    expect(at('sts', 'eu-west-1', { env: env({ AWS_ENDPOINT_URL: url }), loopback })).toBe(expected)
  })
})

const REGIONS = `
  af-south-1 ap-east-1 ap-northeast-3 ap-southeast-7 ca-west-1 eu-central-2 il-central-1 me-central-1
  mx-central-1 sa-east-1 us-east-1 us-west-2 cn-north-1 cn-northwest-1 us-gov-east-1 us-gov-west-1
  eusc-de-east-1 us-iso-east-1 us-isob-east-1 eu-isoe-west-1 us-isof-south-1`
  .trim()
  .split(/\s+/)

test.each(REGIONS)('the hosts of %s are those that AWS’s SDK would call', async (region) => {
  const client = new STSClient({ region })
  const host = (more: { UseDualStack?: boolean; UseFIPS?: boolean }) =>
    client.config.endpointProvider({
      Region: region,
      UseDualStack: false,
      UseFIPS: false,
      UseGlobalEndpoint: false,
      ...more,
    }).url.host
  const row = awsRegion(region)
  if (row === undefined) throw new Error('not in the table')
  const [plain, ...others] = serviceHosts('sts', row)
  expect(plain).toBe(host({}))
  if (row.dualStackSuffix !== null) expect(others).toContain(host({ UseDualStack: true }))
  // In GovCloud the plain host is the FIPS one.
  if (row.hasFips) expect(others).toContain(host({ UseFIPS: true }))
})
