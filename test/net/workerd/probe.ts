// A Worker that answers with what the transport, the verifier and the key cache do in workerd.
import type { JsonObject } from '../../../functions/core/identity.ts'
import { importVerificationKey, splitCompactJws } from '../../../functions/crypto/jws.ts'
import { createFetchOutbound } from '../../../functions/net/fetch-outbound.ts'
import { createKeySets, type KeySource } from '../../../functions/net/key-sets.ts'
import { OutboundError } from '../../../functions/net/outbound.ts'
import { readCapped } from '../../../functions/net/read-body.ts'

const reach = { privateNetwork: false, loopback: true }
const outbound = createFetchOutbound(fetch)
const clock = {
  nowMs: () => Date.now(),
  nowSeconds: () => Math.floor(Date.now() / 1000),
}
const sets = createKeySets({ clock, reach, outbound })

type Question = { readonly url?: string; readonly token?: string; readonly jwk?: JsonObject }

const answers: Readonly<Record<string, (question: Question) => Promise<unknown>>> = {
  '/verify': async ({ token = '', jwk = {} }) => {
    const parts = splitCompactJws(token)
    const key = await importVerificationKey(jwk)
    if (!parts.ok || key === null) return null
    const { header, signingInput, signature } = parts.value
    return key.verify(header.alg as string, signingInput, signature)
  },
  '/find': async ({ url = '' }) => {
    const source: KeySource = { kind: 'jwks_uri', issuer: url, jwksUri: `${url}/keys` }
    const found = await sets.find(source, { kid: 'k1', alg: 'ES256', maxStaleSeconds: 3600 })
    return found.ok ? 'found' : found.failure
  },
  '/fetch': async ({ url = '' }) => {
    try {
      const answer = await outbound({
        method: 'GET',
        url: new URL(url),
        headers: [['x-one', '1']],
        body: null,
        timeoutMs: 500,
        reach,
      })
      const bytes = await readCapped(answer.body, 100_000)
      return { ...answer, body: bytes === null ? null : new TextDecoder().decode(bytes) }
    } catch (error) {
      return error instanceof OutboundError ? error.reason : String(error)
    }
  },
}

export default {
  async fetch(request: Request): Promise<Response> {
    const answer = answers[new URL(request.url).pathname]
    if (answer === undefined) return new Response(null, { status: 404 })
    return Response.json(await answer((await request.json()) as Question))
  },
}
