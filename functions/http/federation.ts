// Discovery of `ISSUER/federation`, the issuer of what other systems verify: an OpenID configuration and
// keys of its own (AWS IAM, Google Cloud and Microsoft Entra read both).
import type { FederationKeys } from '../crypto/federation-keys.ts'

/** What OpenID Connect Discovery §3 requires of an issuer that nobody logs in at, as Kubernetes has it. */
function federationMetadata(issuer: string): Record<string, unknown> {
  return {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti'],
  }
}

export async function federationDocument(
  path: string,
  { signer, jwks }: Pick<FederationKeys, 'signer' | 'jwks'>,
): Promise<Record<string, unknown> | null> {
  if (path === '/federation/.well-known/openid-configuration')
    return federationMetadata(signer.issuer)
  return path === '/federation/.well-known/jwks.json' ? jwks() : null
}
