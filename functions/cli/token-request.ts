// One call of `/token-exchange` as a command asks for it: attestation, intent, scope, the token type that the
// delivery wants, a DPoP proof. What `exchange` and `exec` share.
import type { JsonValue } from '../core/identity.ts'
import { TOKEN_EXCHANGE_GRANT, TOKEN_TYPES } from '../core/token.ts'
import { type AttestationOptions, actorOf, subjectOf } from './attestation.ts'
import { type BrokerClient, createBrokerClient, membersOf } from './broker-client.ts'
import { CliError, type CliIo, EXIT, usage } from './io.ts'
import { type ProofKey, proofKey } from './proof-key.ts'

/** As a binding says it: a handle of a session, or a credential handed over. */
export type Delivery = 'session' | 'credential'

export type TokenRequestOptions = AttestationOptions & {
  readonly server?: string
  readonly audience: readonly string[]
  readonly purpose?: string
  readonly intent?: string
  readonly scope?: readonly string[]
  readonly authMethod?: string
  /** A file, or true for the one that is there by default. */
  readonly dpop?: string | true
}

export type TokenAnswer = {
  readonly client: BrokerClient
  readonly body: Readonly<Record<string, unknown>>
  /** The handle, or what stands for a credential where it is revoked. */
  readonly accessToken: string
  readonly key: ProofKey | null
}

export async function requestToken(
  options: TokenRequestOptions,
  delivery: Delivery,
  io: CliIo,
): Promise<TokenAnswer> {
  if (options.purpose !== undefined && options.intent !== undefined) {
    throw usage('give --purpose or --intent, not both')
  }
  if (delivery === 'credential' && options.audience.length !== 1) {
    throw usage('one credential is of one target: give --audience once')
  }
  const client = createBrokerClient(io, options.server)
  const key = options.dpop === undefined ? null : await proofKey(options.dpop, io)
  const form = await formOf(options, delivery, client.server, io)
  const { body } = await client
    .form('/token-exchange', form, key?.prove)
    .catch((error: unknown) => rethrowWithNextStep(error))
  const answer = membersOf(body)
  const accessToken = answer['access_token']
  if (typeof accessToken !== 'string' || !/^[\x21-\x7e]+$/.test(accessToken)) {
    throw new CliError(EXIT.unavailable, `${client.server} answered, and gave no token`)
  }
  return { client, body: answer, accessToken, key }
}

async function formOf(
  options: TokenRequestOptions,
  delivery: Delivery,
  broker: string,
  io: CliIo,
): Promise<URLSearchParams> {
  const subject = await subjectOf(options, broker, io)
  const form = new URLSearchParams({
    grant_type: TOKEN_EXCHANGE_GRANT,
    subject_token: subject.token,
    subject_token_type: subject.tokenType,
  })
  for (const audience of options.audience) form.append('audience', audience)
  const actor = await actorOf(options, io)
  if (actor !== null) {
    form.set('actor_token', actor.token)
    form.set('actor_token_type', actor.tokenType)
  }
  if (delivery === 'credential') form.set('requested_token_type', TOKEN_TYPES.awsCredentials)
  if (options.scope !== undefined) form.set('scope', options.scope.join(' '))
  if (options.purpose !== undefined) form.set('intent', options.purpose)
  if (options.intent !== undefined) {
    form.set('authorization_details', JSON.stringify([await readIntent(options.intent, io)]))
  }
  if (options.authMethod !== undefined) form.set('auth_method', options.authMethod)
  return form
}

async function readIntent(path: string, io: CliIo): Promise<JsonValue> {
  const { parsePolicyYaml } = await import('../policy/yaml.ts')
  const parsed = parsePolicyYaml(await io.readText(path))
  if (!parsed.ok) throw usage(parsed.failure.map(({ message }) => `${path}: ${message}`).join('\n'))
  return { type: 'agent_intent', ...(membersOf(parsed.value) as { [name: string]: JsonValue }) }
}

/** By the code of the answer: what to look at next. The broker's own hint, if any, comes first. */
const NEXT_STEPS: Readonly<Record<string, string>> = {
  invalid_request: 'if it is the token: sallyport explain --token-file FILE says why',
  invalid_target: 'look at the name, and whether a binding joins your Auth Method to it',
  invalid_scope: 'leave --scope out to get all that the bindings grant',
  invalid_authorization_details: 'say what it is for: --purpose TEXT, or --intent FILE',
  access_denied: 'declare another purpose, or less; the decision tells why',
  authorization_pending: 'once it is approved, run the same command again',
  invalid_dpop_proof:
    'with --dpop: look at the clock, and that --server is the origin the broker calls its own; else add it',
  temporarily_unavailable: 'try again in a moment; if it lasts: sallyport doctor',
  slow_down: 'wait, then try again',
}

function rethrowWithNextStep(error: unknown): never {
  if (!(error instanceof CliError)) throw error
  const next = NEXT_STEPS[String(membersOf(error.body)['error'])]
  if (next === undefined) throw error
  throw new CliError(error.exitCode, `${error.message}\n  next: ${next}`, error.body)
}
