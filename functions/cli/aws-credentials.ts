// The ambient AWS credentials of a workload: environment (Lambda, CI), container endpoint (ECS, EKS Pod
// Identity), instance metadata (EC2). Profiles and SSO are left to the AWS CLI, which exports them into
// the environment. Credentials are signed with and never printed.
import { isLoopbackHost } from '../config.ts'
import { membersOf } from './broker-client.ts'
import { CliError, type CliIo, EXIT, usage } from './io.ts'

export type AwsCredentials = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

const TIMEOUT_MS = 2_000
const CONTAINER_HOST = 'http://169.254.170.2'
/** Where plain http does not leave the machine: ECS and EKS answer there. */
const CONTAINER_HOSTS: readonly string[] = ['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]']
const METADATA = 'http://169.254.169.254/latest'

export async function ambientAwsCredentials(io: CliIo): Promise<AwsCredentials> {
  const found = fromEnvironment(io) ?? (await fromContainer(io)) ?? (await fromMetadata(io))
  if (found !== null) return found
  throw usage(
    'no AWS credentials: run this on AWS, or export them first, e.g. with\n' +
      '  eval "$(aws configure export-credentials --format env)"',
  )
}

function fromEnvironment(io: CliIo): AwsCredentials | null {
  const accessKeyId = io.env('AWS_ACCESS_KEY_ID') ?? ''
  const secretAccessKey = io.env('AWS_SECRET_ACCESS_KEY') ?? ''
  if (accessKeyId === '' || secretAccessKey === '') return null
  return withToken({ accessKeyId, secretAccessKey }, io.env('AWS_SESSION_TOKEN'))
}

function withToken(keys: AwsCredentials, sessionToken: unknown): AwsCredentials {
  return typeof sessionToken === 'string' && sessionToken !== '' ? { ...keys, sessionToken } : keys
}

async function fromContainer(io: CliIo): Promise<AwsCredentials | null> {
  const relative = io.env('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI') ?? ''
  const full = io.env('AWS_CONTAINER_CREDENTIALS_FULL_URI') ?? ''
  if (relative === '' && full === '') return null
  const url = containerUrl(relative === '' ? full : `${CONTAINER_HOST}${relative}`)
  const file = io.env('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE') ?? ''
  const authorization =
    file === ''
      ? (io.env('AWS_CONTAINER_AUTHORIZATION_TOKEN') ?? '')
      : (await io.readText(file)).trim()
  const headers = authorization === '' ? {} : { authorization }
  const response = await ask(io, url, { headers })
  if (response?.ok !== true) throw failed('the container endpoint gave no AWS credentials')
  return credentialsOf(await response.text())
}

/** As the AWS SDKs have it: https anywhere, plain http only where it stays on this machine. */
function containerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  const isLocal =
    url !== null && (isLoopbackHost(url.hostname) || CONTAINER_HOSTS.includes(url.hostname))
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal)) return url.href
  throw usage('AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL that credentials may come from')
}

/** IMDSv2 only: a token first, which no redirected or forwarded request can get. */
async function fromMetadata(io: CliIo): Promise<AwsCredentials | null> {
  if (io.env('AWS_EC2_METADATA_DISABLED') === 'true') return null
  const granted = await ask(io, `${METADATA}/api/token`, {
    method: 'PUT',
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '60' },
  })
  if (granted?.ok !== true) return null
  const headers = { 'x-aws-ec2-metadata-token': await granted.text() }
  const path = `${METADATA}/meta-data/iam/security-credentials/`
  const listed = await ask(io, path, { headers })
  const role = listed?.ok === true ? ((await listed.text()).split('\n')[0] ?? '') : ''
  if (!/^[A-Za-z0-9_+=,.@-]{1,64}$/.test(role)) throw failed('this instance has no role')
  const response = await ask(io, `${path}${role}`, { headers })
  if (response?.ok !== true) throw failed('instance metadata gave no AWS credentials')
  return credentialsOf(await response.text())
}

async function ask(io: CliIo, url: string, init: RequestInit): Promise<Response | null> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    return await io.fetch(url, { ...init, redirect: 'error', signal })
  } catch {
    // Nobody answers there; the runtime's own error may repeat a header (reliability.md F6).
    return null
  }
}

function credentialsOf(text: string): AwsCredentials {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    document = null
  }
  const { AccessKeyId, SecretAccessKey, Token } = membersOf(document)
  if (typeof AccessKeyId !== 'string' || typeof SecretAccessKey !== 'string') {
    throw failed('what should be AWS credentials is not')
  }
  return withToken({ accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey }, Token)
}

function failed(message: string): CliError {
  return new CliError(EXIT.unavailable, message)
}
