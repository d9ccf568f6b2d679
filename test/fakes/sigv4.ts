// What AWS does with a signature: canonical request, string to sign, derived key, comparison. Written from
// the specification and shared with nothing that is under test; the vendor's vectors prove it.
import { createHash, createHmac } from 'node:crypto'

export type SignedHttpRequest = {
  readonly method: string
  /** Path and query as sent. */
  readonly target: string
  /** Lines as sent, in order; names in any case. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

export type Signature = {
  readonly accessKeyId: string
  readonly scope: string
  readonly signedHeaders: readonly string[]
  readonly claimed: string
  readonly securityToken: string | null
  compute(secretAccessKey: string): string
  readonly canonicalRequest: string
}

type Options = {
  /** Whether dot segments and double slashes of the path are resolved (everywhere but S3). */
  readonly normalize?: boolean
  /** Whether the session token was added after the signature was made. */
  readonly omitsToken?: boolean
}

/** The signature that a request carries, in its header or its query; null when it carries none. */
export function readSignature(request: SignedHttpRequest, options: Options = {}): Signature | null {
  const [path = '', ...rest] = request.target.split('?')
  const query = rest.join('?').split('&').filter(Boolean).map(pairOf)
  const inQuery = (name: string) => query.find(([other]) => other === name)?.[1]
  const header = (name: string) =>
    request.headers.find(([other]) => other.toLowerCase() === name)?.[1].trim()
  const isPresigned = inQuery('X-Amz-Signature') !== undefined
  const authorization = /Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)$/.exec(
    header('authorization') ?? '',
  )
  if (!isPresigned && authorization === null) return null
  const [, credential = '', signedList = '', claimed = ''] = isPresigned
    ? ['', inQuery('X-Amz-Credential'), inQuery('X-Amz-SignedHeaders'), inQuery('X-Amz-Signature')]
    : (authorization ?? [])
  const date = isPresigned ? inQuery('X-Amz-Date') : header('x-amz-date')
  const [accessKeyId = '', ...scope] = credential.split('/')
  const signedHeaders = signedList.split(';')
  const unsigned = ['X-Amz-Signature', ...(options.omitsToken ? ['X-Amz-Security-Token'] : [])]
  const canonicalRequest = [
    request.method,
    canonicalPath(path, options.normalize ?? true),
    canonicalQuery(query.filter(([name]) => !isPresigned || !unsigned.includes(name))),
    ...signedHeaders.map((name) => `${name}:${canonicalValue(request.headers, name)}`),
    '',
    signedList,
    header('x-amz-content-sha256') ?? sha256(request.body),
  ].join('\n')
  const stringToSign = ['AWS4-HMAC-SHA256', date, scope.join('/'), sha256(canonicalRequest)]
  return {
    accessKeyId,
    scope: scope.join('/'),
    signedHeaders,
    claimed,
    securityToken: inQuery('X-Amz-Security-Token') ?? header('x-amz-security-token') ?? null,
    canonicalRequest,
    compute(secretAccessKey) {
      const key = scope.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`)
      return hmac(key, stringToSign.join('\n')).toString('hex')
    },
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function pairOf(pair: string): readonly [string, string] {
  const equals = pair.indexOf('=')
  const [name, value] = equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
  return [decodeURIComponent(name), decodeURIComponent(value)]
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function canonicalQuery(query: readonly (readonly [string, string])[]): string {
  const pairs = query.map(([name, value]) => [encode(name), encode(value)] as const)
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return pairs
    .toSorted(([a, x], [b, y]) => order(a, b) || order(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

function canonicalPath(path: string, normalize: boolean): string {
  const encoded = path.split('/').map(encode).join('/')
  if (!normalize) return encoded
  const kept: string[] = []
  for (const segment of encoded.split('/')) {
    if (segment === '..') kept.pop()
    else if (segment !== '.' && segment !== '') kept.push(segment)
  }
  const isFolder = /\/(\.{0,2})?$/.test(encoded) && kept.length > 0
  return `/${kept.join('/')}${isFolder ? '/' : ''}`
}

function canonicalValue(headers: SignedHttpRequest['headers'], name: string): string {
  return headers
    .filter(([other]) => other.toLowerCase() === name)
    .map(([, value]) => value.trim().replace(/\s+/g, ' '))
    .join(',')
}
