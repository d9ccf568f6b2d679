// The members of the auth-methods family.
import type { AuthMethodType } from '../core/auth-method.ts'
import { awsIam } from './aws-iam.ts'
import { awsWebIdentity } from './aws-web-identity.ts'
import { jwtFamily, type AuthMethodDeps } from './jwt.ts'
import { kubernetes } from './kubernetes.ts'
import { mtls } from './mtls.ts'
import { oauthIntrospection } from './oauth-introspection.ts'
import { oidc } from './oidc.ts'
import { spiffeJwt } from './spiffe-jwt.ts'
import { spiffeX509 } from './spiffe-x509.ts'

export function createAuthMethodTypes(deps: AuthMethodDeps): readonly AuthMethodType[] {
  const family = jwtFamily(deps)
  return [
    awsIam(deps),
    awsWebIdentity(family),
    oidc(family),
    kubernetes(family),
    spiffeJwt(family),
    spiffeX509(deps),
    mtls(deps),
    oauthIntrospection(deps),
  ]
}
