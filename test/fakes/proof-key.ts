// A client's DPoP key: signs the proof that a careful client would make, or whatever a test makes of it.
import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import type { JsonObject } from '../../functions/core/identity.ts'
import { tokenIssuer } from './token-issuer.ts'

export type ProofOf = {
  readonly method?: string
  readonly url: string
  /** The handle beside it. */
  readonly token?: string
  /** Over what is said by the above; undefined removes. */
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
}

export type ProofKey = {
  readonly jkt: string
  readonly jwk: JsonObject
  proof(of: ProofOf): Promise<string>
}

export async function proofKey(alg = 'ES256', nowSeconds?: number): Promise<ProofKey> {
  const issuer = await tokenIssuer(alg)
  const { kid: _, use: __, alg: ___, ...jwk } = issuer.publicJwk
  return {
    jkt: await calculateJwkThumbprint(jwk),
    jwk,
    proof({ method = 'POST', url, token, claims, header }) {
      const payload = {
        jti: randomUUID(),
        htm: method,
        htu: url,
        iat: nowSeconds ?? Math.floor(Date.now() / 1000),
        ...(token === undefined ? {} : { ath: hashOf(token) }),
        ...claims,
      }
      // Undefined members are left out by JSON.
      return issuer.sign(
        JSON.stringify(payload),
        JSON.stringify({ typ: 'dpop+jwt', alg, jwk, ...header }),
      )
    },
  }
}

/** `ath`, RFC 9449 §4.2. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}
