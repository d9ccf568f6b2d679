// The request that STS is asked with: constants of this broker and, of the caller's, only what a signature
// needs, each checked by its form (AW-01). No byte of the caller's request is relayed.
import {
  ALGORITHM,
  BODIES,
  EKS_SERVER_ID_HEADER,
  FIXED_QUERY,
  NONCE_HEADER,
  SERVER_ID_HEADER,
  type UntrustedSignedRequest,
} from './aws-sigv4-fields.ts'

export type RebuiltRequest = {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string | null
}

/** The request as it must have been signed for this broker at this endpoint (AW-01). */
export function rebuildRequest(
  request: UntrustedSignedRequest,
  { endpoint, serverId }: { readonly endpoint: string; readonly serverId: string },
): RebuiltRequest {
  const scope = `${request.date.slice(0, 8)}/${request.scopeRegion}/sts/aws4_request`
  const credential = `${request.accessKeyId}/${scope}`
  const { securityToken, signedHeaders, signature } = request
  if (request.form === 'presigned') {
    const query = [
      ...FIXED_QUERY,
      ['X-Amz-Credential', credential],
      ['X-Amz-Date', request.date],
      ['X-Amz-Expires', String(request.expiresSeconds)],
      ...(securityToken === null ? [] : [['X-Amz-Security-Token', securityToken]]),
      ['X-Amz-Signature', signature],
    ]
    const search = query.map(([name, value = '']) => `${name}=${encoded(value)}`).join('&')
    return {
      method: 'GET',
      url: new URL(`${endpoint}/?${search}`),
      headers: [[EKS_SERVER_ID_HEADER, serverId]],
      body: null,
    }
  }
  const parts = [
    `${ALGORITHM} Credential=${credential}`,
    `SignedHeaders=${signedHeaders.join(';')}`,
    `Signature=${signature}`,
  ]
  return {
    method: 'POST',
    url: new URL(`${endpoint}/`),
    headers: [
      ['authorization', parts.join(', ')],
      ['content-type', request.contentType],
      ...(signedHeaders.includes('x-amz-content-sha256')
        ? [['x-amz-content-sha256', BODIES[request.body]?.sha256 ?? ''] as const]
        : []),
      ['x-amz-date', request.date],
      [SERVER_ID_HEADER, serverId],
      ...(request.nonce === null ? [] : [[NONCE_HEADER, request.nonce] as const]),
      ...(securityToken === null ? [] : [['x-amz-security-token', securityToken] as const]),
    ],
    body: request.body,
  }
}

/** As SigV4 encodes: everything but the unreserved characters. */
function encoded(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
