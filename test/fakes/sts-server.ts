// STS over HTTP in the test's own process: it believes every web identity, answers as STS would or as the test
// says, and keeps what it was asked. Every secret in its answers is a canary.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const CANARY = 'Canary0Handed0Over'

export type StsAnswer =
  | {
      readonly status: number
      readonly type?: string
      readonly body?: string
      readonly to?: string
    }
  /** The connection is cut; nothing is ever said. */
  | 'cut'
  | 'silence'

export type StsServer = {
  readonly url: string
  /** Forms, in order. */
  readonly asked: URLSearchParams[]
  answer: StsAnswer | null
  close(): Promise<void>
}

export async function startStsServer(): Promise<StsServer> {
  const asked: URLSearchParams[] = []
  let serial = 0
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.on('end', () => {
      const form = new URLSearchParams(text)
      asked.push(form)
      if (sts.answer === null) send(response, { status: 200, body: assumed(form, ++serial) })
      else if (sts.answer === 'cut') response.destroy()
      else if (sts.answer !== 'silence') send(response, sts.answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const sts: StsServer = {
    url: `http://127.0.0.1:${port}`,
    asked,
    answer: null,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
  return sts
}

function send(response: ServerResponse, answer: Exclude<StsAnswer, string>): void {
  const { status, type = 'text/xml', body = '', to } = answer
  response.writeHead(status, {
    'content-type': type,
    'x-amzn-requestid': 'c6104cbe-af31-11e0-8154-cbc7ccf896c7',
    ...(to === undefined ? {} : { location: to }),
  })
  response.end(body)
}

export function stsError(status: number, code: string): StsAnswer {
  const message = `${CANARY} is not for the log`
  return {
    status,
    body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
      <Code>${code}</Code><Message>${message}</Message></Error><RequestId>x</RequestId></ErrorResponse>`,
  }
}

/** Changes to what STS says, by member. */
export function assumed(
  form: URLSearchParams,
  serial: number,
  over: Readonly<Record<string, string>> = {},
): string {
  const [, account = '', role = ''] =
    /::(\d+):role\/(?:.*\/)?([^/]+)$/.exec(form.get('RoleArn') ?? '') ?? []
  const session = form.get('RoleSessionName') ?? ''
  const seconds = Number(form.get('DurationSeconds'))
  const said: Record<string, string> = {
    AccessKeyId: `ASIACANARY${String(serial).padStart(10, '0')}`,
    SecretAccessKey: `${CANARY}Secret0000000000000${serial}`,
    SessionToken: `${CANARY}Token${serial}`,
    Expiration: new Date(Date.now() + seconds * 1000).toISOString(),
    Arn: `arn:aws:sts::${account}:assumed-role/${role}/${session}`,
    AssumedRoleId: `AROACANARY:${session}`,
    ...over,
  }
  const member = (name: string) => `<${name}>${said[name]}</${name}>`
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
    <AssumeRoleWithWebIdentityResult><Credentials>${['AccessKeyId', 'SecretAccessKey', 'SessionToken', 'Expiration'].map(member).join('')}</Credentials>
    <AssumedRoleUser>${['Arn', 'AssumedRoleId'].map(member).join('')}</AssumedRoleUser>
    </AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
    </AssumeRoleWithWebIdentityResponse>`
}
