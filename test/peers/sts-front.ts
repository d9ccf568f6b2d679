// What moto leaves out of STS: it checks the signature of the very request that came, by recomputing it, as
// well as its time and its session token, and answers in JSON where that is asked for. The identity is
// moto's own.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readSignature } from '../fakes/sigv4.ts'

export type Keys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export type StsFront = {
  readonly url: string
  /** Keys that it knows the secret of. */
  readonly keys: Keys[]
  /** Requests that came, whatever became of them. */
  readonly seen: { readonly headers: IncomingMessage['headers']; readonly verified: boolean }[]
  /** Answers this status to everything, or acts itself. */
  broken: number | null
  close(): Promise<void>
}

const WINDOW_MS = 15 * 60_000

export async function startStsFront(motoUrl: string): Promise<StsFront> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      void answer(request, response, Buffer.concat(chunks).toString(), { front, motoUrl })
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  // A listening TCP server has an AddressInfo.
  const { port } = server.address() as AddressInfo
  const front: StsFront = {
    url: `http://127.0.0.1:${port}`,
    keys: [],
    seen: [],
    broken: null,
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
  return front
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
  { front, motoUrl }: { readonly front: StsFront; readonly motoUrl: string },
): Promise<void> {
  const credential = verifiedCredential(request, body, front.keys)
  const verified = credential !== null
  front.seen.push({ headers: request.headers, verified })
  const json = (status: number, document: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document))
  }
  if (front.broken !== null) return json(front.broken, {})
  if (credential === null) return json(403, { Error: { Code: 'SignatureDoesNotMatch' } })
  // moto takes the key's name out of a header, and checks nothing.
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=0`
  const answered = await fetch(motoUrl, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
    body: body === '' ? (request.url?.split('?')[1] ?? '') : body,
  })
  const xml = await answered.text()
  if (!answered.ok) return json(answered.status, { Error: { Code: 'Moto' } })
  const tag = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]
  const result = { Account: tag('Account'), Arn: tag('Arn'), UserId: tag('UserId') }
  const metadata = { RequestId: tag('RequestId') ?? 'none' }
  json(200, {
    GetCallerIdentityResponse: { GetCallerIdentityResult: result, ResponseMetadata: metadata },
  })
}

/** Key and scope of a request whose signature holds, else null. */
function verifiedCredential(
  request: IncomingMessage,
  body: string,
  keys: readonly Keys[],
): string | null {
  const lines: [string, string][] = []
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    lines.push([request.rawHeaders[at] ?? '', request.rawHeaders[at + 1] ?? ''])
  }
  const target = request.url ?? ''
  const signature = readSignature({ method: request.method ?? '', target, headers: lines, body })
  if (signature === null) return null
  const signer = keys.find(({ accessKeyId }) => accessKeyId === signature.accessKeyId)
  const date =
    new URLSearchParams(target.split('?')[1]).get('X-Amz-Date') ??
    String(request.headers['x-amz-date'])
  const [, day, time] = /^(\d{8})T(\d{6})Z$/.exec(date) ?? []
  const iso = `${day?.replace(/(....)(..)(..)/, '$1-$2-$3')}T${time?.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`
  const holds =
    signer !== undefined &&
    signature.claimed === signature.compute(signer.secretAccessKey) &&
    signature.securityToken === (signer.sessionToken ?? null) &&
    signature.scope.split('/')[2] === 'sts' &&
    signature.signedHeaders.includes('host') &&
    Math.abs(Date.parse(iso) - Date.now()) <= WINDOW_MS
  return holds ? `${signature.accessKeyId}/${signature.scope}` : null
}
