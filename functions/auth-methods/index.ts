// The members of the auth-methods family.
import type { AuthMethodType } from '../core/auth-method.ts'
import { jwtFamily, type AuthMethodDeps } from './jwt.ts'
import { kubernetes } from './kubernetes.ts'
import { oidc } from './oidc.ts'
import { spiffeJwt } from './spiffe-jwt.ts'

export function createAuthMethodTypes(deps: AuthMethodDeps): readonly AuthMethodType[] {
  const family = jwtFamily(deps)
  return [oidc(family), kubernetes(family), spiffeJwt(family)]
}
