// S3, DynamoDB and STS as moto has them, with what moto leaves out: every signature is recomputed over the
// bytes that came, keys end when they expire, session policies are enforced, web identity tokens are verified.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRemoteJWKSet, decodeJwt, type JWTPayload, jwtVerify } from 'jose'
import { operationOf } from './aws-operation.ts'
import { isAllowed } from './aws-policy.ts'
import { verifiedSigner } from './aws-signer.ts'
import { parametersOf, valueOf } from './aws-query.ts'

export type IssuedKeys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  /** Milliseconds; absent for a user's. */
  readonly expiresAt?: number
  /** The session policy that they were asked for with. */
  readonly policy?: string
}

export type StsCall = {
  readonly action: string
  readonly parameters: Readonly<Record<string, string>>
  /** Whose keys signed it; null for what is not signed. */
  readonly signedBy: string | null
  /** Of a web identity token that verified. */
  readonly claims: JWTPayload | null
  readonly issued: IssuedKeys | null
}

export type ServiceCall = {
  readonly service: string
  readonly action: string
  readonly resource: string
  readonly accessKeyId: string
  readonly status: number
  readonly userAgent: string
}

export type Interception = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Never ends the answer. */
  readonly hangs?: boolean
}

export type AwsServices = {
  readonly url: string
  readonly keys: IssuedKeys[]
  readonly stsCalls: StsCall[]
  readonly calls: ServiceCall[]
  /** Stands in for the service once a request is known to be signed; null lets it pass. */
  intercept: ((service: string, action: string, resource: string) => Interception | null) | null
  /** Requests that were refused before they had a meaning: unsigned, wrongly signed, expired. */
  readonly refused: string[]
  /** What came so far; not the keys. */
  forget(): void
  close(): Promise<void>
}

type Arrived = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: Buffer
}

export async function startAwsServices(motoUrl: string): Promise<AwsServices> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const arrived = { request, response, body: Buffer.concat(chunks) }
      answer(arrived, services, motoUrl).catch((error: unknown) => {
        services.refused.push(`bug: ${String(error)}`)
        refuse(response, 500, 'InternalError')
      })
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo // it listens on TCP
  const services: AwsServices = {
    url: `http://127.0.0.1:${port}`,
    keys: [],
    stsCalls: [],
    calls: [],
    intercept: null,
    refused: [],
    forget() {
      for (const list of [services.stsCalls, services.calls, services.refused]) list.length = 0
    },
    close: () =>
      new Promise((done) => {
        server.closeAllConnections()
        server.close(() => done())
      }),
  }
  return services
}

async function answer(arrived: Arrived, services: AwsServices, motoUrl: string): Promise<void> {
  const { request, response, body } = arrived
  const parameters = parametersOf(request, body)
  if (parameters['Action'] === 'AssumeRoleWithWebIdentity') {
    const claims = await verifiedClaims(parameters['WebIdentityToken'] ?? '')
    if (claims === null) return refuse(response, 400, 'InvalidIdentityToken')
    return assume(arrived, services, { motoUrl, parameters, signedBy: null, claims })
  }
  const signer = verifiedSigner(request, body, services.keys)
  if (!signer.ok) {
    services.refused.push(`${request.method} ${request.url}: ${signer.reason}`)
    return refuse(response, 403, signer.reason)
  }
  const signedBy = signer.keys.accessKeyId
  if (parameters['Action'] === 'GetCallerIdentity') return identify(arrived, motoUrl)
  if (signer.service === 'sts') {
    return assume(arrived, services, { motoUrl, parameters, signedBy, claims: null })
  }
  const { action, resource } = operationOf(request, body, signer)
  const other = services.intercept?.(signer.service, action, resource) ?? null
  if (other !== null) {
    response.writeHead(other.status, other.headers)
    response.write(other.body)
    if (other.hangs !== true) response.end()
    return
  }
  const permitted =
    signer.keys.policy === undefined || isAllowed(signer.keys.policy, action, resource)
  const status = permitted ? await forward(arrived, motoUrl) : 403
  if (!permitted) refuse(response, 403, 'AccessDenied')
  services.calls.push({
    service: signer.service,
    action,
    resource,
    accessKeyId: signedBy,
    status,
    userAgent: request.headers['user-agent'] ?? '',
  })
}

type Asked = Pick<StsCall, 'parameters' | 'signedBy' | 'claims'> & { readonly motoUrl: string }

async function assume(arrived: Arrived, services: AwsServices, asked: Asked): Promise<void> {
  const { parameters, signedBy, claims } = asked
  const xml = await ask(arrived, asked.motoUrl)
  const text = xml.body.toString()
  const policy = parameters['Policy']
  const issued: IssuedKeys | null =
    xml.status === 200 && valueOf(text, 'SecretAccessKey') !== ''
      ? {
          accessKeyId: valueOf(text, 'AccessKeyId'),
          secretAccessKey: valueOf(text, 'SecretAccessKey'),
          sessionToken: valueOf(text, 'SessionToken'),
          expiresAt: Date.parse(valueOf(text, 'Expiration')),
          ...(policy === undefined ? {} : { policy }),
        }
      : null
  if (issued !== null) services.keys.push(issued)
  const action = parameters['Action'] ?? ''
  services.stsCalls.push({ action, parameters, signedBy, claims, issued })
  send(arrived.response, xml)
}

/** In JSON, which moto's STS has not. */
async function identify(arrived: Arrived, motoUrl: string): Promise<void> {
  const xml = (await ask(arrived, motoUrl)).body.toString()
  const members = ['Account', 'Arn', 'UserId'].map((name) => [name, valueOf(xml, name)])
  const body = {
    GetCallerIdentityResponse: {
      GetCallerIdentityResult: Object.fromEntries(members),
      ResponseMetadata: { RequestId: valueOf(xml, 'RequestId') },
    },
  }
  arrived.response.writeHead(200, { 'content-type': 'application/json' })
  arrived.response.end(JSON.stringify(body))
}

/** As AWS does: the keys are those of the issuer that the token names. AWS knows the issuer beforehand. */
async function verifiedClaims(token: string): Promise<JWTPayload | null> {
  try {
    const { iss = '' } = decodeJwt(token)
    const found = await fetch(`${iss}/.well-known/openid-configuration`)
    const { issuer, jwks_uri: keys } = (await found.json()) as Record<string, string>
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(keys ?? '')), {
      issuer: issuer ?? '',
      audience: 'sts.amazonaws.com',
      algorithms: ['ES256', 'RS256'],
    })
    return payload
  } catch {
    return null
  }
}

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Buffer }

async function ask({ request, body }: Arrived, motoUrl: string): Promise<Answer> {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    if (['host', 'connection', 'content-length', 'expect', 'accept-encoding'].includes(name))
      continue
    headers.set(name, String(value))
  }
  const hasBody = body.length > 0
  const answered = await fetch(`${motoUrl}${request.url ?? ''}`, {
    method: request.method ?? 'GET',
    headers,
    ...(hasBody ? { body: new Uint8Array(body) } : {}),
  })
  const bytes = Buffer.from(await answered.arrayBuffer())
  return { status: answered.status, headers: new Headers(answered.headers), body: bytes }
}

async function forward(arrived: Arrived, motoUrl: string): Promise<number> {
  const answered = await ask(arrived, motoUrl)
  // moto calls its JSON HTML; AWS does not.
  const isJson = arrived.request.headers['content-type'] === 'application/x-amz-json-1.1'
  if (isJson) answered.headers.set('content-type', 'application/x-amz-json-1.1')
  send(arrived.response, answered)
  return answered.status
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const kept = [...headers].filter(
    ([name]) => !['connection', 'transfer-encoding', 'content-encoding'].includes(name),
  )
  response.writeHead(status, Object.fromEntries(kept))
  response.end(body)
}

function refuse(response: ServerResponse, status: number, code: string): void {
  const isJson = response.req.headers['x-amz-target'] !== undefined
  response.writeHead(status, { 'content-type': isJson ? 'application/json' : 'application/xml' })
  const xml = `<ErrorResponse><Error><Code>${code}</Code><Message>no</Message></Error></ErrorResponse>`
  response.end(isJson ? JSON.stringify({ __type: code, message: 'no' }) : xml)
}
