// The keys that sign and verify handles: the hot path signs and verifies with keys that were imported
// once. A handle verifies under our own keys only. `iss`, `aud` and the session are the caller's to check.
import { createHash } from 'node:crypto'
import type { JsonObject } from '../core/identity.ts'
import type { HandleSigner, Seconds } from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { HANDLE_TYPE, type HandleFault } from '../core/token.ts'
import { parseCompactJws } from './jws.ts'
import { createKeyRing, type KeyRing, type KeyRingDeps } from './key-ring.ts'
import { ES256, ES256_SIGNATURE_BYTES } from './signing-key.ts'
import { createVerifiedHandles, freeze, type VerifiedHandle } from './verified-handles.ts'

export interface HandleKeys extends Pick<KeyRing, 'jwks' | 'ensure'> {
  readonly signer: HandleSigner
  /** The claims of a handle of ours: signature, type, expiry. The caller checks `iss`, `aud` and session. */
  verify(token: string, nowSeconds: Seconds): Promise<Result<JsonObject, HandleFault>>
}

export type HandleKeysDeps = Pick<KeyRingDeps, 'store' | 'sealer' | 'clock' | 'rotationSeconds'> & {
  readonly maxHandleSeconds: number
}

/** A handle with its longest `aud` list; api.md's request limits keep it far below. */
const MAX_HANDLE_BYTES = 16 * 1024
/** Verified handles kept by an isolate: some 2 KiB each. */
const MAX_CACHED_HANDLES = 4096

export function createHandleKeys({ maxHandleSeconds, ...deps }: HandleKeysDeps): HandleKeys {
  const ring = createKeyRing({ ...deps, purpose: 'handle', maxTokenSeconds: maxHandleSeconds })
  const verified = createVerifiedHandles(MAX_CACHED_HANDLES)

  return {
    signer: { sign: (claims) => ring.sign(claims, HANDLE_TYPE) },

    async verify(token, nowSeconds) {
      if (token.length > MAX_HANDLE_BYTES) return fail('malformed')
      const cacheKey = createHash('sha256').update(token).digest('base64url')
      const hit = verified.get(cacheKey)
      if (hit !== undefined) {
        const isLive =
          nowSeconds < hit.exp && (await ring.find(hit.kid, nowSeconds, 'held')) !== null
        if (isLive) return ok(hit.claims)
        verified.delete(cacheKey)
      }
      const result = await verifyAfresh(token, nowSeconds, ring)
      if (!result.ok) return result
      verified.put(cacheKey, result.value)
      return ok(result.value.claims)
    },

    jwks: ring.jwks,
    ensure: ring.ensure,
  }
}

async function verifyAfresh(
  token: string,
  now: Seconds,
  ring: KeyRing,
): Promise<Result<VerifiedHandle, HandleFault>> {
  const parsed = parseCompactJws(token, { maxBytes: MAX_HANDLE_BYTES })
  if (!parsed.ok) return fail('malformed')
  const { header, payload, signingInput, signature } = parsed.value
  const kid = kidOf(header)
  if (kid === null) return fail('malformed')
  if (signature.length !== ES256_SIGNATURE_BYTES) return fail('bad_signature')

  const key = await ring.find(kid, now, 'fresh')
  if (key === null) return fail('bad_signature')
  if (!(await crypto.subtle.verify(ES256, key.publicKey, signature, signingInput))) {
    return fail('bad_signature')
  }

  const exp = payload['exp']
  if (typeof exp !== 'number' || !Number.isSafeInteger(exp)) return fail('malformed')
  if (now >= exp) return fail('expired')
  return ok({ kid, exp, claims: freeze(payload) })
}

/** The header that we write, and nothing else: RFC 9068 §4 for `typ`, one algorithm, no further members. */
function kidOf(header: JsonObject): string | null {
  const { alg, typ, kid, ...others } = header
  if (alg !== 'ES256' || typeof kid !== 'string' || Object.keys(others).length > 0) return null
  return typ === 'at+jwt' || typ === 'application/at+jwt' ? kid : null
}
