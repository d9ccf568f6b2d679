// `sallyport exec -- command`: a session, or a credential, for as long as one command runs. The command gets
// it in its environment and nothing of what authenticated for it; at its end it is revoked.
import { membersOf } from './broker-client.ts'
import { CliError, type CliIo } from './io.ts'
import { printable } from './table.ts'
import {
  type Delivery,
  requestToken,
  type TokenAnswer,
  type TokenRequestOptions,
} from './token-request.ts'
import { variablesOf } from './variables.ts'

export type ExecOptions = TokenRequestOptions & { readonly delivery: Delivery }

/** What a command has no need of: power over the broker. */
const NOT_FOR_THE_COMMAND: readonly string[] = [
  'SALLYPORT_ADMIN_TOKEN',
  'SALLYPORT_KEK',
  'SALLYPORT_KEK_PREVIOUS',
  'DATABASE_AUTH_TOKEN',
]

/** Whoever has these gets tokens of the job for any audience. */
const GITHUB_RUNNER: readonly string[] = [
  'ACTIONS_ID_TOKEN_REQUEST_TOKEN',
  'ACTIONS_ID_TOKEN_REQUEST_URL',
]

const AWS_KEYS: readonly string[] = [
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
]

/** Where an AWS SDK would look before, or instead of, the variables that it is given. */
const OTHER_AWS_SOURCES: readonly string[] = [
  'AWS_PROFILE',
  'AWS_DEFAULT_PROFILE',
  'AWS_SECURITY_TOKEN',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_ROLE_ARN',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
]

/** The exit code of the command; 128 and the signal's number where a signal ended it. */
export async function exec(
  command: readonly string[],
  { delivery, ...options }: ExecOptions,
  io: CliIo,
): Promise<number> {
  const answer = await requestToken(options, delivery, io)
  try {
    return await io.runChild(command, {
      set: variablesOf(answer.body, delivery),
      unset: [
        ...NOT_FOR_THE_COMMAND,
        ...attestedBy(options),
        ...(delivery === 'credential' ? OTHER_AWS_SOURCES : []),
      ],
    })
  } finally {
    await revoke(answer, delivery, io)
  }
}

/** The variables that the attestation came from, or was made with. */
function attestedBy(options: TokenRequestOptions): readonly string[] {
  const { subjectTokenEnv: name, githubActions, aws, awsWebIdentity } = options
  return [
    ...(name === undefined ? [] : [name]),
    ...(githubActions === true ? GITHUB_RUNNER : []),
    ...(aws === true || awsWebIdentity === true ? [...AWS_KEYS, ...OTHER_AWS_SOURCES] : []),
  ]
}

/** The command is what counts: its exit code stands, whatever becomes of this. */
async function revoke(
  { client, accessToken, body }: TokenAnswer,
  delivery: Delivery,
  io: CliIo,
): Promise<void> {
  const session = printable(String(membersOf(body['session'])['id']))
  try {
    const answer = await client.form('/revoke', new URLSearchParams({ token: accessToken }))
    if (delivery !== 'credential') return
    io.err(`session ${session} is revoked; ${printable(honoured(answer.body))}`)
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    const seconds = printable(String(body['expires_in']))
    io.err(`session ${session} is not revoked and ends by itself in ${seconds} s`)
  }
}

/** A time, or null where AWS denies it by now; a broker that does not say leaves the worse of the two. */
function honoured(answer: unknown): string {
  const until = membersOf(answer)['aws_honours_until']
  if (until === null) return 'AWS denies its credential from now on'
  const end = typeof until === 'string' ? until : 'it expires'
  return `AWS honours its credential until ${end}`
}
