// Discovery documents: authorization server (RFC 8414), protected resources (RFC 9728), JWKS.
import { targetUrl } from '../core/target-url.ts'
import { ATTESTATION_TOKEN_TYPES, TOKEN_EXCHANGE_GRANT, TOKEN_TYPES } from '../core/token.ts'

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

export function authorizationServerMetadata(issuer: string): Record<string, unknown> {
  return {
    issuer,
    token_endpoint: `${issuer}/token-exchange`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    introspection_endpoint: `${issuer}/introspect`,
    revocation_endpoint: `${issuer}/revoke`,
    // Required by RFC 8414 §2, and an empty list must be left out (§3.2): `none` (RFC 8252's registry
    // value) says that there is no authorization endpoint (conflict C6).
    response_types_supported: ['none'],
    grant_types_supported: [TOKEN_EXCHANGE_GRANT],
    // There are no registered clients; the default of RFC 8414 would promise client_secret_basic.
    token_endpoint_auth_methods_supported: ['none'],
    introspection_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    authorization_details_types_supported: ['agent_intent'],
    subject_token_types_supported: ATTESTATION_TOKEN_TYPES,
    requested_token_types_supported: [TOKEN_TYPES.accessToken],
    service_documentation: `${issuer}/docs`,
  }
}

/** The same for every name, known or not: nobody learns here what targets there are (ER-04). */
export function protectedResourceMetadata(
  path: string,
  issuer: string,
): Record<string, unknown> | null {
  const name = path.startsWith('/t/') ? path.slice('/t/'.length) : ''
  if (!NAME.test(name)) return null
  return {
    resource: targetUrl(issuer, name),
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    authorization_details_types_supported: ['agent_intent'],
  }
}
