// What each entry can carry, as data: the runtime suite tests it, docs/runtimes.md prints it, and limits
// are chosen by it. A byte figure is of the body alone.
export type EntryKind =
  | 'node'
  | 'workerd'
  | 'lambda-url'
  | 'lambda-url-streaming'
  | 'lambda-apigw-v1'
  | 'lambda-apigw-v2'

export type Capabilities = {
  /** The app sees the first byte of a body before the client has sent the last. */
  readonly requestStreaming: boolean
  /** The client sees the first byte of an answer before the app has made the last. */
  readonly responseStreaming: boolean
  /** Null: the entry itself sets no bound. */
  readonly maxRequestBytes: number | null
  readonly maxResponseBytes: number | null
  /** `separate`: every line of a repeated header arrives; `joined`: one line, values joined by a comma. */
  readonly duplicateRequestHeaders: 'separate' | 'joined'
  /** The path arrives exactly as sent; else it was parsed or decoded on the way. */
  readonly rawPath: boolean
  readonly clientAddress: string
  /** Where a client certificate comes from; null: the entry carries none. */
  readonly clientCertificate: string | null
}

/**
 * A buffered invocation carries 6 MiB of JSON each way; base64 takes a third more than the body, and
 * headers and context have to fit beside it.
 */
const LAMBDA_BODY_BYTES = 4_500_000

const buffered = {
  requestStreaming: false,
  responseStreaming: false,
  maxRequestBytes: LAMBDA_BODY_BYTES,
  maxResponseBytes: LAMBDA_BODY_BYTES,
} as const

export const capabilities: Readonly<Record<EntryKind, Capabilities>> = {
  node: {
    requestStreaming: true,
    responseStreaming: true,
    maxRequestBytes: null,
    maxResponseBytes: null,
    duplicateRequestHeaders: 'separate',
    rawPath: true,
    clientAddress: 'peer of the connection',
    clientCertificate: 'the connection, with its chain, where SALLYPORT_TLS_CERT is set',
  },
  workerd: {
    requestStreaming: true,
    responseStreaming: true,
    // The smallest limit of Cloudflare's plans.
    maxRequestBytes: 100_000_000,
    maxResponseBytes: null,
    duplicateRequestHeaders: 'joined',
    rawPath: false,
    clientAddress: 'CF-Connecting-IP as set by the edge',
    clientCertificate: '`cf.tlsClientAuth`, with its chain up to 16 KB, where the edge verified it',
  },
  'lambda-url': {
    ...buffered,
    duplicateRequestHeaders: 'joined',
    rawPath: true,
    clientAddress: 'requestContext.http.sourceIp',
    clientCertificate: null,
  },
  'lambda-url-streaming': {
    ...buffered,
    responseStreaming: true,
    // Lambda's limit of one streamed answer.
    maxResponseBytes: 200 * 1024 * 1024,
    duplicateRequestHeaders: 'joined',
    rawPath: true,
    clientAddress: 'requestContext.http.sourceIp',
    clientCertificate: null,
  },
  'lambda-apigw-v1': {
    ...buffered,
    duplicateRequestHeaders: 'separate',
    rawPath: true,
    clientAddress: 'requestContext.identity.sourceIp',
    clientCertificate: '`requestContext.identity.clientCert`, the leaf alone',
  },
  'lambda-apigw-v2': {
    ...buffered,
    duplicateRequestHeaders: 'joined',
    rawPath: false,
    clientAddress: 'requestContext.http.sourceIp',
    clientCertificate: '`requestContext.authentication.clientCert`, the leaf alone',
  },
}
