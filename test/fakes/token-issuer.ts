// Signs what an issuer, or an attacker with an issuer's habits, would: header and payload are taken as
// they are, text included, so that a test can write what no library would.
import { exportJWK, generateKeyPair } from 'jose'
import type { JsonObject } from '../../functions/core/identity.ts'

export type TokenIssuer = {
  readonly alg: string
  readonly kid: string
  readonly publicJwk: JsonObject
  sign(payload: JsonObject | string, header?: JsonObject | string): Promise<string>
}

const SIGN_WITH: Readonly<Record<string, { name: string; hash?: string; saltLength?: number }>> = {
  RS256: { name: 'RSASSA-PKCS1-v1_5' },
  PS256: { name: 'RSA-PSS', saltLength: 32 },
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  Ed25519: { name: 'Ed25519' },
  EdDSA: { name: 'Ed25519' },
}

export async function tokenIssuer(
  alg: string,
  kid = `${alg}-key`,
  use = 'sig',
): Promise<TokenIssuer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const algorithm = SIGN_WITH[alg]
  if (algorithm === undefined || !(privateKey instanceof CryptoKey)) throw new Error(alg)
  const publicJwk: JsonObject = { ...toJson(await exportJWK(publicKey)), kid, use, alg }
  return {
    alg,
    kid,
    publicJwk,
    async sign(payload, header = { alg, kid, typ: 'JWT' }) {
      const input = `${encoded(header)}.${encoded(payload)}`
      const bytes = await crypto.subtle.sign(algorithm, privateKey, Buffer.from(input))
      return `${input}.${Buffer.from(bytes).toString('base64url')}`
    },
  }
}

export function encoded(part: JsonObject | string): string {
  const text = typeof part === 'string' ? part : JSON.stringify(part)
  return Buffer.from(text).toString('base64url')
}

/** A JWK is JSON; its type only does not say so. */
function toJson(jwk: object): JsonObject {
  return JSON.parse(JSON.stringify(jwk)) as JsonObject
}
