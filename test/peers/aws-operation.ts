// Which IAM action on which resource a request to S3, DynamoDB, IAM, Secrets Manager or the Parameter Store is:
// the few that the tests make.
import type { IncomingMessage } from 'node:http'

export type Operation = { readonly action: string; readonly resource: string }

const ACCOUNT = '123456789012'

export function operationOf(
  request: IncomingMessage,
  body: Buffer,
  { service, region }: { readonly service: string; readonly region: string },
): Operation {
  if (service === 's3') return s3Operation(request)
  if (service === 'iam') {
    const form = new URLSearchParams(body.toString())
    const resource = `arn:aws:iam::${ACCOUNT}:role/${form.get('RoleName')}`
    return { action: `iam:${form.get('Action')}`, resource }
  }
  if (service === 'secretsmanager' || service === 'ssm') {
    const name = String(request.headers['x-amz-target']).split('.')[1] ?? ''
    const { SecretId, Name } = JSON.parse(body.toString()) as { SecretId?: string; Name?: string }
    return { action: `${service}:${name}`, resource: SecretId ?? Name ?? '*' }
  }
  const [, name = ''] =
    /^DynamoDB_20120810\.(\w+)$/.exec(String(request.headers['x-amz-target'])) ?? []
  const { TableName: table } = JSON.parse(body.toString()) as { TableName?: string }
  const all = table === undefined
  return {
    action: `dynamodb:${name}`,
    resource: all ? '*' : `arn:aws:dynamodb:${region}:${ACCOUNT}:table/${table}`,
  }
}

function s3Operation({ method = '', url = '' }: IncomingMessage): Operation {
  const { pathname } = new URL(url, 'http://s3.example')
  const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/.exec(decodeURIComponent(pathname)) ?? []
  if (bucket === '') return { action: 's3:ListAllMyBuckets', resource: '*' }
  if (key === '') {
    const isListing = method === 'GET' || method === 'HEAD'
    const action = isListing ? 's3:ListBucket' : method === 'PUT' ? 's3:CreateBucket' : 's3:Unknown'
    return { action, resource: `arn:aws:s3:::${bucket}` }
  }
  const actions: Readonly<Record<string, string>> = {
    GET: 's3:GetObject',
    HEAD: 's3:GetObject',
    PUT: 's3:PutObject',
    DELETE: 's3:DeleteObject',
  }
  return { action: actions[method] ?? 's3:Unknown', resource: `arn:aws:s3:::${bucket}/${key}` }
}
