// Attestations from the ambient AWS credentials, for `sallyport exchange`. What is signed names the broker
// by the origin that the user gave, and never by what a server says of itself: a server that named
// another broker could use the attestation there (AW-08).
import { AwsV4Signer } from 'aws4fetch'
import { NONCE_HEADER, SERVER_ID_HEADER } from '../auth-methods/aws-sigv4-fields.ts'
import { stsRegion } from '../auth-methods/aws-regions.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import { encodeBase64url } from '../crypto/base64url.ts'
import { ambientAwsCredentials } from './aws-credentials.ts'
import { membersOf } from './broker-client.ts'
import { CliError, type CliIo, EXIT, usage } from './io.ts'

export type AwsAttestation = { readonly token: string; readonly tokenType: string }

const VERSION = '2011-06-15'
const TIMEOUT_MS = 10_000
/** Long enough for one exchange. */
const TOKEN_SECONDS = '300'

/** A signed GetCallerIdentity request, which the broker sends on to STS in its own words. */
export async function signedCallerIdentity(
  broker: string,
  region: string | undefined,
  io: CliIo,
): Promise<AwsAttestation> {
  const body = `Action=GetCallerIdentity&Version=${VERSION}`
  // Two agents of one role may sign in the same second.
  const nonce = encodeBase64url(crypto.getRandomValues(new Uint8Array(16)))
  const own = { [SERVER_ID_HEADER]: broker, [NONCE_HEADER]: nonce }
  const signed = await signedStsRequest({ body, headers: own }, region, io)
  const headers = Object.fromEntries([...signed.headers].map(([name, value]) => [name, [value]]))
  const envelope = { method: 'POST', url: signed.url, headers, body }
  return {
    token: Buffer.from(JSON.stringify(envelope)).toString('base64url'),
    tokenType: TOKEN_TYPES.awsSigV4,
  }
}

/** The JWT of GetWebIdentityToken for this broker (AO-01). */
export async function webIdentityToken(
  broker: string,
  region: string | undefined,
  io: CliIo,
): Promise<AwsAttestation> {
  const body = new URLSearchParams({
    Action: 'GetWebIdentityToken',
    Version: VERSION,
    'Audience.member.1': broker,
    SigningAlgorithm: 'ES384',
    DurationSeconds: TOKEN_SECONDS,
  }).toString()
  const signed = await signedStsRequest(
    { body, headers: { accept: 'application/json' } },
    region,
    io,
  )
  const document = await callSts(signed, body, io)
  const response = membersOf(document['GetWebIdentityTokenResponse'])
  const token = membersOf(response['GetWebIdentityTokenResult'])['WebIdentityToken']
  if (typeof token === 'string') return { token, tokenType: TOKEN_TYPES.jwt }
  const code = membersOf(document['Error'])['Code']
  const why = typeof code === 'string' ? `: ${code}` : ''
  throw new CliError(EXIT.refused, `STS gave no web identity token${why}`)
}

type Signed = { readonly url: string; readonly headers: Headers }

async function signedStsRequest(
  request: { readonly body: string; readonly headers: Readonly<Record<string, string>> },
  wanted: string | undefined,
  io: CliIo,
): Promise<Signed> {
  const region = wanted ?? io.env('AWS_REGION') ?? io.env('AWS_DEFAULT_REGION') ?? ''
  const row = stsRegion(region)
  if (row === undefined) throw usage('set AWS_REGION, or --aws-region, to a region of AWS')
  const url = `${io.env('AWS_ENDPOINT_URL_STS') ?? `https://${row.hosts[0]}`}/`
  const headers = { 'content-type': 'application/x-www-form-urlencoded', ...request.headers }
  const signer = new AwsV4Signer({
    method: 'POST',
    url,
    headers,
    body: request.body,
    ...(await ambientAwsCredentials(io)),
    service: 'sts',
    region: row.scope,
    datetime: new Date(io.nowMs()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
  })
  return { url, headers: (await signer.sign()).headers }
}

async function callSts(
  { url, headers }: Signed,
  body: string,
  io: CliIo,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await io.fetch(url, {
      method: 'POST',
      headers,
      body,
      redirect: 'error',
      signal,
    })
    return membersOf(await response.json())
  } catch {
    // The runtime's own error may repeat a header (reliability.md F6).
    throw new CliError(EXIT.unavailable, `${url} cannot be reached, or does not answer as STS does`)
  }
}
