// The P-256 key that `--dpop` binds a handle to, in a file of its own that only its owner can read, and the
// proofs that it signs (RFC 9449). Made once, used again: a handle outlives the command that asked for it.
import { createHash, randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { encodeBase64url } from '../crypto/base64url.ts'
import { membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'

export type ProofKey = {
  /** RFC 7638. */
  readonly thumbprint: string
  readonly path: string
  prove(request: ProvenRequest): Promise<string>
}

export type ProvenRequest = {
  readonly method: string
  readonly url: string
  /** Of the broker, after it asked for one. */
  readonly nonce: string | null
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const
const ES256 = { name: 'ECDSA', hash: 'SHA-256' } as const

type PrivateJwk = { readonly x: string; readonly y: string; readonly d: string }

/** `true` is the place where it lies unless told otherwise. */
export async function proofKey(file: string | true, io: CliIo): Promise<ProofKey> {
  const path = file === true ? defaultPath(io) : file
  const jwk = parseKey(path, (await io.readPrivate(path)) ?? (await makeKey(path, io)))
  const { x, y, d } = jwk
  const publicJwk = { crv: 'P-256', kty: 'EC', x, y }
  const key = await importKey(path, { ...publicJwk, d })
  return {
    path,
    // RFC 7638 §3: the required members in lexical order, no white space.
    thumbprint: createHash('sha256').update(JSON.stringify(publicJwk)).digest('base64url'),
    async prove({ method, url, nonce }) {
      const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk }
      const claims = {
        jti: randomUUID(),
        htm: method,
        htu: url,
        iat: Math.floor(io.nowMs() / 1000),
        ...(nonce === null ? {} : { nonce }),
      }
      const input = `${encoded(header)}.${encoded(claims)}`
      const signature = await crypto.subtle.sign(ES256, key, Buffer.from(input))
      return `${input}.${encodeBase64url(new Uint8Array(signature))}`
    },
  }
}

function defaultPath(io: CliIo): string {
  const configuration = io.env('XDG_CONFIG_HOME') ?? ''
  const home = io.env('HOME') ?? ''
  if (configuration !== '') return join(configuration, 'sallyport', 'dpop-key.json')
  if (home !== '') return join(home, '.config', 'sallyport', 'dpop-key.json')
  throw usage('there is no HOME to keep the key in: give --dpop a file')
}

/** Two commands that start at once end with one key: the file is made once, by the first. */
async function makeKey(path: string, io: CliIo): Promise<string> {
  const pair = await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const { crv, kty, x, y, d } = await crypto.subtle.exportKey('jwk', pair.privateKey)
  const made = JSON.stringify({ crv, kty, x, y, d })
  if (await io.createPrivate(path, `${made}\n`)) return made
  const present = await io.readPrivate(path)
  if (present === null) throw usage(`${path} cannot be made: look at ${dirname(path)}`)
  return present
}

function parseKey(path: string, text: string): PrivateJwk {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    parsed = null
  }
  const { kty, crv, x, y, d } = membersOf(parsed)
  const isP256 = kty === 'EC' && crv === 'P-256'
  if (isP256 && typeof x === 'string' && typeof y === 'string' && typeof d === 'string') {
    return { x, y, d }
  }
  throw notAKey(path)
}

async function importKey(path: string, jwk: PrivateJwk & { crv: string; kty: string }) {
  try {
    return await crypto.subtle.importKey('jwk', jwk, P256, false, ['sign'])
  } catch {
    // The runtime's own error may repeat what it was given.
    throw notAKey(path)
  }
}

function notAKey(path: string) {
  return usage(`${path} holds no private P-256 key as a JWK: name another file, or remove it`)
}

function encoded(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
