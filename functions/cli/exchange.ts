// `sallyport exchange`: one token exchange, printed as the program that asks for it wants to read it. Standard
// output holds that and nothing else; what a person reads goes to standard error and holds no secret.
import { awsDocument } from './aws-output.ts'
import { membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'
import {
  type Delivery,
  requestToken,
  type TokenAnswer,
  type TokenRequestOptions,
} from './token-request.ts'
import { cell, printable } from './table.ts'
import { exportLines, variablesOf } from './variables.ts'

/** How an answer is printed, and what is asked for unless `--delivery` says. */
const FORMATS = {
  handle: 'session',
  json: 'session',
  env: 'credential',
  'credential-process': 'credential',
} as const satisfies Readonly<Record<string, Delivery>>

export type Format = keyof typeof FORMATS
export const FORMAT_NAMES: readonly string[] = Object.keys(FORMATS)
export const DELIVERIES: readonly Delivery[] = ['session', 'credential']

export type ExchangeOptions = TokenRequestOptions & {
  readonly format?: Format
  readonly delivery?: Delivery
  readonly json?: boolean
}

export async function exchange(options: ExchangeOptions, io: CliIo): Promise<void> {
  const format = formatOf(options)
  const delivery = options.delivery ?? FORMATS[format]
  if (format === 'handle' && delivery === 'credential') {
    throw usage('a credential is no handle: add --format env, json or credential-process')
  }
  if (format === 'credential-process' && delivery === 'session') {
    throw usage('--format credential-process is for --delivery credential')
  }
  const answer = await requestToken(options, delivery, io)
  // An SDK runs credential_process often, and shows its standard error when it fails.
  if (format !== 'credential-process') describe(answer, format, io)
  io.out(printed(answer, format, delivery))
}

function formatOf({ format, json }: ExchangeOptions): Format {
  if (json !== true) return format ?? 'handle'
  if (format === undefined || format === 'json') return 'json'
  throw usage(`--json is --format json: leave one of them out`)
}

/** HANDLE=$(sallyport exchange …) takes the handle alone. */
function printed({ accessToken, body }: TokenAnswer, format: Format, delivery: Delivery): string {
  switch (format) {
    case 'handle':
      return accessToken
    case 'json':
      return JSON.stringify(body)
    case 'env':
      return exportLines(variablesOf(body, delivery))
    case 'credential-process':
      return JSON.stringify(awsDocument(body))
  }
}

function describe({ body, key }: TokenAnswer, format: Format, io: CliIo): void {
  if (format !== 'json') {
    const session = membersOf(body['session'])
    io.err(`session  ${said(session['id'])}  (${said(body['expires_in'])} s)`)
    io.err(`scope    ${said(body['scope'])}`)
    for (const [target, url] of Object.entries(membersOf(session['targets']))) {
      io.err(`target   ${said(target)}  ${said(url)}`)
    }
  }
  if (key === null) return
  io.err(`type     ${said(body['token_type'])}  (key ${key.thumbprint})`)
  io.err(`key      ${key.path}`)
}

/** What a server answered cannot drive the terminal. */
function said(value: unknown): string {
  return printable(cell(value))
}
