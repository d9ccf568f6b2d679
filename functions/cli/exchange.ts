// `sallyport exchange`: one token exchange. The attestation comes from a file or standard input, never
// from the command line, where every process of the machine could read it.
import type { JsonValue } from '../core/identity.ts'
import { TOKEN_EXCHANGE_GRANT, TOKEN_TYPES } from '../core/token.ts'
import { parsePolicyYaml } from '../policy/yaml.ts'
import { signedCallerIdentity, webIdentityToken } from './aws-attestation.ts'
import { createBrokerClient, membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'

export type ExchangeOptions = {
  readonly server?: string
  readonly audience: readonly string[]
  readonly subjectTokenFile?: string
  readonly subjectTokenType: string
  readonly aws?: boolean
  readonly awsWebIdentity?: boolean
  readonly awsRegion?: string
  readonly actorTokenFile?: string
  readonly actorTokenType: string
  readonly purpose?: string
  readonly intent?: string
  readonly scope?: readonly string[]
  readonly authMethod?: string
  readonly json?: boolean
}

const SHORT_TYPES: Readonly<Record<string, string>> = {
  jwt: TOKEN_TYPES.jwt,
  id_token: TOKEN_TYPES.idToken,
  access_token: TOKEN_TYPES.accessToken,
}

export async function exchange(options: ExchangeOptions, io: CliIo): Promise<void> {
  if (options.purpose !== undefined && options.intent !== undefined) {
    throw usage('give --purpose or --intent, not both')
  }
  const client = createBrokerClient(io, options.server)
  const subject = await subjectOf(options, client.server, io)
  const form = new URLSearchParams({
    grant_type: TOKEN_EXCHANGE_GRANT,
    subject_token: subject.token,
    subject_token_type: subject.tokenType,
  })
  for (const audience of options.audience) form.append('audience', audience)
  if (options.actorTokenFile !== undefined) {
    form.set('actor_token', await readToken(options.actorTokenFile, io))
    form.set('actor_token_type', SHORT_TYPES[options.actorTokenType] ?? options.actorTokenType)
  }
  if (options.scope !== undefined) form.set('scope', options.scope.join(' '))
  if (options.purpose !== undefined) form.set('intent', options.purpose)
  if (options.intent !== undefined) {
    form.set('authorization_details', JSON.stringify([await readIntent(options.intent, io)]))
  }
  if (options.authMethod !== undefined) form.set('auth_method', options.authMethod)

  const { body } = await client.form('/token-exchange', form)
  if (options.json) return io.out(JSON.stringify(body))
  const answer = membersOf(body)
  const session = membersOf(answer['session'])
  io.err(`session  ${String(session['id'])}  (${String(answer['expires_in'])} s)`)
  io.err(`scope    ${String(answer['scope'])}`)
  for (const [target, url] of Object.entries(membersOf(session['targets']))) {
    io.err(`target   ${target}  ${String(url)}`)
  }
  // The handle alone goes to standard output: HANDLE=$(sallyport exchange …)
  io.out(String(answer['access_token']))
}

type Subject = { readonly token: string; readonly tokenType: string }

async function subjectOf(options: ExchangeOptions, broker: string, io: CliIo): Promise<Subject> {
  const { subjectTokenFile: file, aws, awsWebIdentity, awsRegion } = options
  const sources = [file !== undefined, aws === true, awsWebIdentity === true]
  if (sources.filter(Boolean).length !== 1) {
    throw usage('give one of --subject-token-file, --aws and --aws-web-identity')
  }
  if (aws === true) return signedCallerIdentity(broker, awsRegion, io)
  if (file === undefined) return webIdentityToken(broker, awsRegion, io)
  const tokenType = SHORT_TYPES[options.subjectTokenType] ?? options.subjectTokenType
  return { token: await readToken(file, io), tokenType }
}

async function readToken(path: string, io: CliIo): Promise<string> {
  const token = (await io.readText(path)).trim()
  if (token === '') throw usage(`${path === '-' ? 'standard input' : path} holds no token`)
  return token
}

async function readIntent(path: string, io: CliIo): Promise<JsonValue> {
  const parsed = parsePolicyYaml(await io.readText(path))
  if (!parsed.ok) throw usage(parsed.failure.map(({ message }) => `${path}: ${message}`).join('\n'))
  return { type: 'agent_intent', ...(membersOf(parsed.value) as { [name: string]: JsonValue }) }
}
