// One ES256 signing key: made, sealed under the KEK, opened again. What verifies is derived from what was
// sealed, never from the public half beside it: whoever can write to the store cannot add a key of theirs.
import { createHash } from 'node:crypto'
import type { JsonObject } from '../core/identity.ts'
import type { Seconds } from '../core/ports.ts'
import type { KeyPurpose, SigningKeyRow } from '../store/contract.ts'
import type { Sealer } from './seal.ts'

export const ES256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
export const ES256_SIGNATURE_BYTES = 64

/** WebCrypto's key, under the name that every runtime's types share. */
type ImportedKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

export type SigningKey = {
  readonly kid: string
  readonly activeFrom: Seconds
  readonly retireAt: Seconds
  /** As published: RFC 7517, public members only. */
  readonly publicJwk: JsonObject
  readonly privateKey: ImportedKey
  readonly publicKey: ImportedKey
}

export type OpenedKey = {
  readonly key: SigningKey
  readonly sealed: string
  /** Sealed under the previous KEK. */
  readonly isStale: boolean
}

type PrivateCoordinates = { readonly x: string; readonly y: string; readonly d: string }

/** A fresh key as a row; the private half leaves this function only sealed. */
export async function generateSigningKey(
  sealer: Sealer,
  purpose: KeyPurpose,
  times: Pick<SigningKeyRow, 'createdAt' | 'activeFrom' | 'retireAt'>,
): Promise<SigningKeyRow> {
  const pair = await crypto.subtle.generateKey(ES256, true, ['sign', 'verify'])
  // `in` because one runtime's types say that ECDSA might give a single key.
  if (!('privateKey' in pair)) throw new Error('ECDSA key generation gave no pair')
  const coordinates = coordinatesOf(await crypto.subtle.exportKey('jwk', pair.privateKey))
  if (coordinates === null) throw new Error('the runtime exported no P-256 private key')
  const kid = thumbprint(coordinates)
  return {
    kid,
    purpose,
    publicJwk: publicJwk(coordinates, kid),
    sealedPrivateJwk: await sealer.seal(sealedFor(purpose, kid), JSON.stringify(coordinates)),
    ...times,
  }
}

/** Null when the row cannot be opened under either KEK, or is not the key that its `kid` names. */
export async function openSigningKey(
  sealer: Sealer,
  row: SigningKeyRow,
): Promise<OpenedKey | null> {
  const opened = await sealer.open(sealedFor(row.purpose, row.kid), row.sealedPrivateJwk)
  if (opened === null) return null
  const coordinates = coordinatesOf(JSON.parse(opened.plaintext))
  if (coordinates === null || thumbprint(coordinates) !== row.kid) return null
  const { x, y } = coordinates
  const jwk = { kty: 'EC', crv: 'P-256', x, y }
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey('jwk', { ...jwk, d: coordinates.d }, ES256, false, ['sign']),
    crypto.subtle.importKey('jwk', jwk, ES256, false, ['verify']),
  ])
  return {
    key: {
      kid: row.kid,
      activeFrom: row.activeFrom,
      retireAt: row.retireAt,
      publicJwk: publicJwk(coordinates, row.kid),
      privateKey,
      publicKey,
    },
    sealed: row.sealedPrivateJwk,
    isStale: opened.usedPrevious,
  }
}

/** The same private key under the current KEK; null when it does not open any more. */
export async function resealSigningKey(
  sealer: Sealer,
  { purpose, kid, sealedPrivateJwk }: Pick<SigningKeyRow, 'purpose' | 'kid' | 'sealedPrivateJwk'>,
): Promise<string | null> {
  const label = sealedFor(purpose, kid)
  const opened = await sealer.open(label, sealedPrivateJwk)
  return opened === null ? null : sealer.seal(label, opened.plaintext)
}

/** Authenticated with the key: a row that is given another purpose does not open. */
function sealedFor(purpose: KeyPurpose, kid: string): string {
  return purpose === 'handle' ? `signing-key:${kid}` : `${purpose}-key:${kid}`
}

function publicJwk({ x, y }: PrivateCoordinates, kid: string): JsonObject {
  return { kty: 'EC', crv: 'P-256', x, y, kid, use: 'sig', alg: 'ES256' }
}

/** RFC 7638 §3: the required members in lexical order, no white space. */
function thumbprint({ x, y }: PrivateCoordinates): string {
  const canonical = JSON.stringify({ crv: 'P-256', kty: 'EC', x, y })
  return createHash('sha256').update(canonical).digest('base64url')
}

function coordinatesOf(jwk: unknown): PrivateCoordinates | null {
  if (typeof jwk !== 'object' || jwk === null) return null
  const { x, y, d } = jwk as Readonly<Record<string, unknown>> // any object may be read by name
  if (typeof x !== 'string' || typeof y !== 'string' || typeof d !== 'string') return null
  return { x, y, d }
}
