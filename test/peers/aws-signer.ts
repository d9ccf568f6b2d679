// Whose keys signed a request, by recomputing the signature over what came: its path as S3 or as everybody
// else sees it, its bytes, its time, its session token.
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { readSignature } from '../fakes/sigv4.ts'
import type { IssuedKeys } from './aws-services.ts'

export type Signer =
  | {
      readonly ok: true
      readonly keys: IssuedKeys
      readonly service: string
      readonly region: string
    }
  | { readonly ok: false; readonly reason: string }

const WINDOW_MS = 15 * 60_000

export function verifiedSigner(
  request: IncomingMessage,
  body: Buffer,
  known: readonly IssuedKeys[],
): Signer {
  const headers: [string, string][] = []
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    headers.push([request.rawHeaders[at] ?? '', request.rawHeaders[at + 1] ?? ''])
  }
  const signed = {
    method: request.method ?? '',
    target: request.url ?? '',
    headers,
    body: body.toString(),
  }
  const service = /Credential=[^/]+\/\d+\/[^/]+\/([^/]+)\//.exec(
    request.headers.authorization ?? '',
  )?.[1]
  const signature = readSignature(signed, { normalize: service !== 's3' })
  if (signature === null) return refused('MissingAuthenticationToken')
  const keys = known.find(({ accessKeyId }) => accessKeyId === signature.accessKeyId)
  if (keys === undefined) return refused('InvalidClientTokenId')
  if (signature.claimed !== signature.compute(keys.secretAccessKey)) {
    return refused('SignatureDoesNotMatch')
  }
  if (signature.securityToken !== (keys.sessionToken ?? null)) return refused('InvalidToken')
  const isBound = ['host', ...(keys.sessionToken === undefined ? [] : ['x-amz-security-token'])]
  if (!isBound.every((name) => signature.signedHeaders.includes(name))) return refused('Unsigned')
  const stated = request.headers['x-amz-content-sha256']
  const actual = createHash('sha256').update(body).digest('hex')
  if (stated !== undefined && stated !== actual) return refused('XAmzContentSHA256Mismatch')
  if (Math.abs(timeOf(request) - Date.now()) > WINDOW_MS) return refused('RequestTimeTooSkewed')
  if (keys.expiresAt !== undefined && keys.expiresAt <= Date.now()) return refused('ExpiredToken')
  return { ok: true, keys, service: service ?? '', region: signature.scope.split('/')[1] ?? '' }
}

function refused(reason: string): Signer {
  return { ok: false, reason }
}

function timeOf(request: IncomingMessage): number {
  const [, day = '', time = ''] =
    /^(\d{8})T(\d{6})Z$/.exec(String(request.headers['x-amz-date'])) ?? []
  return Date.parse(
    `${day.replace(/(....)(..)(..)/, '$1-$2-$3')}T${time.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`,
  )
}
