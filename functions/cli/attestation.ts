// Where a command finds the attestation: a file, standard input, a variable, the ambient AWS credentials, the
// runner of GitHub. Never the command line, where every process of the machine could read it.
import { TOKEN_TYPES } from '../core/token.ts'
import { signedCallerIdentity, webIdentityToken } from './aws-attestation.ts'
import { githubToken } from './github-attestation.ts'
import { type CliIo, usage } from './io.ts'

export type AttestationOptions = {
  readonly subjectTokenFile?: string
  readonly subjectTokenEnv?: string
  readonly subjectTokenType: string
  readonly aws?: boolean
  readonly awsWebIdentity?: boolean
  readonly awsRegion?: string
  readonly githubActions?: boolean
  readonly actorTokenFile?: string
  readonly actorTokenType: string
}

export type Attestation = { readonly token: string; readonly tokenType: string }

const SHORT_TYPES: Readonly<Record<string, string>> = {
  jwt: TOKEN_TYPES.jwt,
  id_token: TOKEN_TYPES.idToken,
  access_token: TOKEN_TYPES.accessToken,
}

export async function subjectOf(
  options: AttestationOptions,
  broker: string,
  io: CliIo,
): Promise<Attestation> {
  const { subjectTokenFile: file, subjectTokenEnv: name, awsRegion } = options
  const tokenType = SHORT_TYPES[options.subjectTokenType] ?? options.subjectTokenType
  const sources: Readonly<Record<string, (() => Promise<Attestation>) | false>> = {
    '--subject-token-file':
      file !== undefined && (async () => ({ token: await readToken(file, io), tokenType })),
    '--subject-token-env':
      name !== undefined && (async () => ({ token: readVariable(name, io), tokenType })),
    '--aws': options.aws === true && (() => signedCallerIdentity(broker, awsRegion, io)),
    '--aws-web-identity':
      options.awsWebIdentity === true && (() => webIdentityToken(broker, awsRegion, io)),
    '--github-actions': options.githubActions === true && (() => githubToken(broker, io)),
  }
  const [source, second] = Object.values(sources).filter((one) => one !== false)
  if (source === undefined || second !== undefined) {
    throw usage(`give one of ${Object.keys(sources).join(', ')}`)
  }
  return source()
}

export async function actorOf(
  { actorTokenFile, actorTokenType }: AttestationOptions,
  io: CliIo,
): Promise<Attestation | null> {
  if (actorTokenFile === undefined) return null
  const tokenType = SHORT_TYPES[actorTokenType] ?? actorTokenType
  return { token: await readToken(actorTokenFile, io), tokenType }
}

async function readToken(path: string, io: CliIo): Promise<string> {
  const token = (await io.readText(path)).trim()
  if (token === '') throw usage(`${path === '-' ? 'standard input' : path} holds no token`)
  return token
}

function readVariable(name: string, io: CliIo): string {
  const token = (io.env(name) ?? '').trim()
  if (token === '') throw usage(`the variable ${name} holds no token`)
  return token
}
