// One ES256 signing key: made, sealed under the KEK, opened again. What verifies is derived from what was
// sealed, never from the public half beside it: whoever can write to the store cannot add a key of theirs.
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { JsonObject } from '../core/identity.ts'
import type { Seconds } from '../core/ports.ts'
import { HANDLE_TYPE } from '../core/token.ts'
import type { SigningKeyRow } from '../store/contract.ts'
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
  /** The encoded JOSE header of every handle of this key, with its dot. */
  readonly headerSegment: string
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
    purpose: 'handle',
    publicJwk: publicJwk(coordinates, kid),
    sealedPrivateJwk: await sealer.seal(purposeOf(kid), JSON.stringify(coordinates)),
    ...times,
  }
}

/** Null when the row cannot be opened under either KEK, or is not the key that its `kid` names. */
export async function openSigningKey(
  sealer: Sealer,
  row: SigningKeyRow,
): Promise<OpenedKey | null> {
  const opened = await sealer.open(purposeOf(row.kid), row.sealedPrivateJwk)
  if (opened === null) return null
  const coordinates = coordinatesOf(JSON.parse(opened.plaintext))
  if (coordinates === null || thumbprint(coordinates) !== row.kid) return null
  const { x, y } = coordinates
  const jwk = { kty: 'EC', crv: 'P-256', x, y }
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey('jwk', { ...jwk, d: coordinates.d }, ES256, false, ['sign']),
    crypto.subtle.importKey('jwk', jwk, ES256, false, ['verify']),
  ])
  const header = JSON.stringify({ alg: 'ES256', typ: HANDLE_TYPE, kid: row.kid })
  return {
    key: {
      kid: row.kid,
      activeFrom: row.activeFrom,
      retireAt: row.retireAt,
      publicJwk: publicJwk(coordinates, row.kid),
      privateKey,
      publicKey,
      headerSegment: `${Buffer.from(header).toString('base64url')}.`,
    },
    sealed: row.sealedPrivateJwk,
    isStale: opened.usedPrevious,
  }
}

/** The same private key under the current KEK; null when it does not open any more. */
export async function resealSigningKey(
  sealer: Sealer,
  kid: string,
  sealed: string,
): Promise<string | null> {
  const opened = await sealer.open(purposeOf(kid), sealed)
  return opened === null ? null : sealer.seal(purposeOf(kid), opened.plaintext)
}

function purposeOf(kid: string): string {
  return `signing-key:${kid}`
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
