// The keys of `ISSUER/federation`: what they sign is for other systems, and nothing here verifies it.
import { type FederationSigner, MAX_FEDERATION_SECONDS } from '../core/ports.ts'
import { createKeyRing, type KeyRing, type KeyRingDeps } from './key-ring.ts'

export interface FederationKeys extends Pick<KeyRing, 'jwks' | 'ensure'> {
  readonly signer: FederationSigner
}

/** Clouds keep a key set for up to a day. */
const LEAD_SECONDS = 86_400

export function createFederationKeys(
  issuer: string,
  deps: Pick<KeyRingDeps, 'store' | 'sealer' | 'clock'>,
): FederationKeys {
  const ring = createKeyRing({
    ...deps,
    purpose: 'federation',
    leadSeconds: LEAD_SECONDS,
    maxTokenSeconds: MAX_FEDERATION_SECONDS,
  })
  return {
    signer: {
      issuer,
      async sign(claims, typ) {
        const { aud } = claims
        if (typeof aud !== 'string' || aud === '') {
          throw new RangeError('a federation token is for one audience')
        }
        return ring.sign({ ...claims, iss: issuer }, typ)
      },
    },
    jwks: ring.jwks,
    ensure: ring.ensure,
  }
}
