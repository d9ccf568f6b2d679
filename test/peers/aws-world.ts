// The world that clients of AWS are tested in: moto behind a front that checks as AWS does, an issuer that
// vouches for a workload, the CLI as it is shipped, and a broker process between them.
import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { AwsClient } from 'aws4fetch'
import { type Issuer, startIssuer } from '../../functions/cli/quickstart-world.ts'
import { bundleCli } from '../../scripts/bundles.ts'
import type { Environment } from './aws-client-programs.ts'
import { type AwsServices, type IssuedKeys, startAwsServices } from './aws-services.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { installMoto, startMoto } from './moto.ts'

const ACCOUNT = '123456789012'
export const REGION = 'eu-central-1'
export const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/agents/reporter`
export const TASK_ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/task`
export const SUBJECT = 'system:serviceaccount:notes:bot'
export const BROKER_KEYS = {
  accessKeyId: 'AKIABROKER0000000000',
  secretAccessKey: 'canary-of-the-broker',
}
/** Long enough for one call, far under AWS's minimum. */
export const BRIEF_SECONDS = 10

/** How a broker gets to AWS: by the call of STS that it makes then. */
export const AMBIENT = {
  AssumeRole: {
    AWS_ACCESS_KEY_ID: BROKER_KEYS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: BROKER_KEYS.secretAccessKey,
    AWS_REGION: REGION,
  },
  AssumeRoleWithWebIdentity: {},
} as const satisfies Readonly<Record<string, Environment>>

export type AwsWorld = {
  readonly folder: string
  readonly aws: AwsServices
  readonly issuer: Issuer
  /** The bundle of the CLI. */
  readonly cli: string
  close(): Promise<void>
}

export async function startAwsWorld(): Promise<AwsWorld> {
  await installMoto()
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-aws-'))
  const cli = join(folder, 'cli/sallyport.mjs')
  const [moto, issuer] = await Promise.all([
    startMoto(),
    startIssuer(),
    bundleCli('functions/cli/main.ts', cli),
  ])
  const program = join(folder, 'bin/sallyport')
  await mkdir(join(folder, 'bin'))
  await writeFile(program, `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`)
  await chmod(program, 0o700)
  await fillMoto(moto.url)
  const aws = await startAwsServices(moto.url)
  aws.keys.push(BROKER_KEYS)
  return {
    folder,
    aws,
    issuer,
    cli,
    async close() {
      await Promise.all([aws.close(), moto.stop(), issuer.close()])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export type AwsBroker = BrokerProcess & {
  /** Holds what a kubelet would project into the pod of team a. */
  readonly tokenFile: string
  tokenOf(team: string): Promise<string>
  /** Runs a line of shell, in which `sallyport` and `aws` are there. */
  typed(line: string, env?: Environment): Promise<Typed>
}

export type Typed = { readonly code: number | null; readonly out: string; readonly err: string }

export async function startAwsBroker(
  { folder, aws, issuer }: AwsWorld,
  by: keyof typeof AMBIENT,
): Promise<AwsBroker> {
  const broker = await startBrokerProcess({
    env: AMBIENT[by],
    policy: (url) => policyOf(issuer.url, url, aws.url),
  })
  const tokenOf = (team: string) => {
    const exp = Math.floor(Date.now() / 1000) + 3600
    return issuer.workloadToken({ aud: broker.url, sub: SUBJECT, team, exp })
  }
  const tokenFile = join(folder, `token-${by}`)
  await writeFile(tokenFile, await tokenOf('team-a'))
  const typed = (line: string, env: Environment = {}) =>
    runLine(line, folder, {
      PATH: `${folder}/bin:${resolve('.cache/venv/bin')}:${process.env['PATH'] ?? ''}`,
      HOME: folder,
      AWS_ENDPOINT_URL: aws.url,
      AWS_DEFAULT_REGION: REGION,
      SALLYPORT_URL: broker.url,
      ...env,
    })
  return { ...broker, tokenFile, tokenOf, typed }
}

function runLine(line: string, cwd: string, env: Environment): Promise<Typed> {
  const child = spawn('sh', ['-c', line], { cwd, env })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return new Promise((done) => child.once('close', (code) => done({ code, out, err })))
}

/** What an agent of AWS on the machine would have got. */
export async function assumedBy(
  aws: AwsServices,
  form: Readonly<Record<string, string>>,
): Promise<IssuedKeys> {
  const owner = new AwsClient({ ...BROKER_KEYS, service: 'sts', region: REGION })
  const response = await owner.fetch(`${aws.url}/`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ Version: '2011-06-15', ...form }).toString(),
  })
  const issued = aws.stsCalls.at(-1)?.issued
  if (!response.ok || issued === null || issued === undefined)
    throw new Error(String(response.status))
  return issued
}

/** As the owner of the account would, past every check. */
async function fillMoto(url: string): Promise<void> {
  const owner = new AwsClient({ accessKeyId: 'AKIAOWNER', secretAccessKey: 'x', region: REGION })
  const call = async (service: string, path: string, init: RequestInit) => {
    const response = await owner.fetch(`${url}${path}`, { ...init, aws: { service } })
    if (!response.ok) throw new Error(`${service} ${path}: ${await response.text()}`)
  }
  const location = `<CreateBucketConfiguration><LocationConstraint>${REGION}</LocationConstraint></CreateBucketConfiguration>`
  await call('s3', '/reports', { method: 'PUT', body: location })
  await call('s3', '/reports/team-b/secret', { method: 'PUT', body: 'of team b' })
  const dynamodb = (operation: string, body: unknown) =>
    call('dynamodb', '/', {
      method: 'POST',
      headers: {
        'x-amz-target': `DynamoDB_20120810.${operation}`,
        'content-type': 'application/x-amz-json-1.0',
      },
      body: JSON.stringify(body),
    })
  await dynamodb('CreateTable', {
    TableName: 'notes',
    KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    BillingMode: 'PAY_PER_REQUEST',
  })
  const item = { id: { S: 'n1' }, text: { S: 'the first note' } }
  await dynamodb('PutItem', { TableName: 'notes', Item: item })
}

function policyOf(issuer: string, broker: string, aws: string): unknown {
  const mine = 'arn:aws:s3:::reports/${claims.team}/*'
  const config = { region: REGION, role_arn: ROLE_ARN, sts_endpoint: aws }
  const common = { auth_method: 'runtime', delivery: 'credential', owner: 'tests' }
  return {
    auth_methods: [
      {
        name: 'runtime',
        type: 'oidc',
        config: {
          issuer,
          audiences: [broker],
          match: { sub: SUBJECT },
        },
      },
      {
        name: 'task',
        type: 'aws-iam',
        config: {
          accounts: [ACCOUNT],
          roles: [TASK_ROLE_ARN],
          regions: [REGION],
          sts_endpoint: aws,
        },
      },
    ],
    targets: [
      { name: 'reports', type: 'aws-sts', config },
      { name: 'brief', type: 'aws-sts', config },
    ],
    bindings: [
      {
        ...common,
        name: 'bot-reports',
        target: 'reports',
        grants: [
          {
            effects: ['read'],
            objects: [
              'arn:aws:s3:::reports',
              mine,
              `arn:aws:dynamodb:${REGION}:${ACCOUNT}:table/notes`,
            ],
          },
          { effects: ['write'], objects: [mine] },
        ],
        ttl_seconds: 3600,
        intent: { required: true },
      },
      {
        ...common,
        name: 'bot-brief',
        target: 'brief',
        grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports'] }],
        ttl_seconds: BRIEF_SECONDS,
      },
      {
        ...common,
        name: 'task-brief',
        auth_method: 'task',
        target: 'brief',
        grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports'] }],
        ttl_seconds: 900,
      },
    ],
  }
}
