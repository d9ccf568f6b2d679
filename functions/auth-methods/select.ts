// Where an attestation of any kind is looked up, before any I/O (design/api.md, "Which Auth Method"):
// a JWT by its issuer or trust domain, an X509-SVID by its trust domain, everything else by the kind of
// token alone.
import type { SelectAttestation } from '../core/attestation.ts'
import { fail, ok } from '../core/result.ts'
import { ATTESTATION_TOKEN_TYPES } from '../core/token.ts'
import { CERTIFICATE_TOKEN_TYPES, selectByCertificate } from './client-certificate.ts'
import { isJwtType, selectByClaims } from './jwt.ts'

export const selectAttestation: SelectAttestation = (attestation) => {
  const { tokenType } = attestation
  if (isJwtType(tokenType)) return selectByClaims(attestation)
  if (CERTIFICATE_TOKEN_TYPES.includes(tokenType)) return selectByCertificate(attestation)
  return ATTESTATION_TOKEN_TYPES.includes(tokenType)
    ? ok({ by: 'token_type', tokenType })
    : fail({ reason: 'unsupported_type' })
}
