// STS as a transport: it recomputes the signature of exactly what would have been sent and says who signed
// it. It keeps what it saw, so that a test can prove that nothing was.
import type { Outbound, OutboundRequest, OutboundResponse } from '../../functions/net/outbound.ts'
import { readSignature } from './sigv4.ts'

export type StsPrincipal = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly account: string
  readonly arn: string
  readonly userId: string
}

export type FakeSts = {
  readonly outbound: Outbound
  readonly seen: OutboundRequest[]
  /** Instead of its own answer. */
  answer: ((request: OutboundRequest) => OutboundResponse | Promise<OutboundResponse>) | null
}

export function fakeSts(principals: readonly StsPrincipal[]): FakeSts {
  const sts: FakeSts = {
    seen: [],
    answer: null,
    async outbound(request) {
      sts.seen.push(request)
      return sts.answer === null ? judge(request, principals) : sts.answer(request)
    },
  }
  return sts
}

export function jsonAnswer(status: number, document: unknown, type = 'application/json') {
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  return { status, headers: [['content-type', type]] as const, body: new Response(text).body }
}

export function callerDocument(principal: Pick<StsPrincipal, 'account' | 'arn' | 'userId'>) {
  return {
    GetCallerIdentityResponse: {
      GetCallerIdentityResult: {
        Account: principal.account,
        Arn: principal.arn,
        UserId: principal.userId,
      },
      ResponseMetadata: { RequestId: '01234567-89ab-cdef-0123-456789abcdef' },
    },
  }
}

function judge(request: OutboundRequest, principals: readonly StsPrincipal[]): OutboundResponse {
  const { method, url, body } = request
  const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : ''
  // What every transport adds by itself.
  const headers = [...request.headers, ['host', url.host], ['content-length', `${text.length}`]]
  const signature = readSignature({
    method,
    target: `${url.pathname}${url.search}`,
    headers: headers as [string, string][],
    body: text,
  })
  const signer = principals.find(({ accessKeyId }) => accessKeyId === signature?.accessKeyId)
  const isRight =
    signer !== undefined &&
    signature !== null &&
    signature.claimed === signature.compute(signer.secretAccessKey) &&
    signature.securityToken === (signer.sessionToken ?? null)
  if (!isRight) return jsonAnswer(403, { Error: { Code: 'SignatureDoesNotMatch' } })
  return jsonAnswer(200, callerDocument(signer))
}
