// Discovery documents: authorization server (RFC 8414), protected resources (RFC 9728), JWKS.
import { ASYMMETRIC_ALGORITHMS } from '../crypto/jws.ts'
import { targetUrl } from '../core/target-url.ts'
import {
  ATTESTATION_TOKEN_TYPES,
  JWT_BEARER_GRANT,
  REQUESTED_TOKEN_TYPES,
  TOKEN_EXCHANGE_GRANT,
  TOKEN_TYPES,
} from '../core/token.ts'

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

export type Binding = {
  /** Whether a client certificate can reach this deployment at all (RFC 8705 §3.3). */
  readonly certificates: boolean
}

export function authorizationServerMetadata(
  issuer: string,
  binding: Binding,
): Record<string, unknown> {
  return {
    issuer,
    token_endpoint: `${issuer}/token-exchange`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    introspection_endpoint: `${issuer}/introspect`,
    revocation_endpoint: `${issuer}/revoke`,
    // Required by RFC 8414 §2, and an empty list must be left out (§3.2): `none` (RFC 8252's registry
    // value) says that there is no authorization endpoint (conflict C6).
    response_types_supported: ['none'],
    grant_types_supported: [TOKEN_EXCHANGE_GRANT, JWT_BEARER_GRANT],
    // That ID-JAGs are redeemed here, never whose (ID-JAG §7).
    authorization_grant_profiles_supported: ['urn:ietf:params:oauth:grant-profile:id-jag'],
    // There are no registered clients; the default of RFC 8414 would promise client_secret_basic.
    // A `client_assertion` is an attestation: who redeems an ID-JAG authenticates by it.
    token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: ASYMMETRIC_ALGORITHMS,
    introspection_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    authorization_details_types_supported: ['agent_intent'],
    // A handle of this broker is a subject only together with an actor.
    subject_token_types_supported: [...ATTESTATION_TOKEN_TYPES, TOKEN_TYPES.accessToken],
    actor_token_types_supported: ATTESTATION_TOKEN_TYPES,
    requested_token_types_supported: REQUESTED_TOKEN_TYPES,
    // ID-JAG §7.1: what clients of other authorization servers look for here.
    identity_chaining_requested_token_types_supported: [TOKEN_TYPES.idJag],
    ...boundTokens(binding),
    service_documentation: `${issuer}/docs`,
  }
}

/** The same for every name, known or not: nobody learns here what targets there are (ER-04). */
export function protectedResourceMetadata(
  path: string,
  issuer: string,
  binding: Binding,
): Record<string, unknown> | null {
  const name = path.startsWith('/t/') ? path.slice('/t/'.length) : ''
  if (!NAME.test(name)) return null
  return {
    resource: targetUrl(issuer, name),
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    authorization_details_types_supported: ['agent_intent'],
    // `dpop_bound_access_tokens_required` would tell which targets exist, and is learnt at the exchange.
    ...boundTokens(binding),
  }
}

/** RFC 9449 §5.1, RFC 8705 §3.3, RFC 9728 §2. */
function boundTokens({ certificates }: Binding): Record<string, unknown> {
  return {
    dpop_signing_alg_values_supported: ASYMMETRIC_ALGORITHMS,
    tls_client_certificate_bound_access_tokens: certificates,
  }
}
