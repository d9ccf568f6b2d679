// The JOSE header of an attestation: everything in it is untrusted input, and the only things read are
// the names of the algorithm and of the key (JB-01, JB-05, JB-06, RB-02, RB-04).
import type { AttestationFault } from '../core/auth-method.ts'
import { isPlainText } from '../core/claim-match.ts'
import type { JsonObject } from '../core/identity.ts'
import { refusedHeaderMember } from '../crypto/jws.ts'

export type HeaderRules = {
  /** From the configuration, never from the token or the key alone. */
  readonly algorithms: readonly string[]
  readonly isAllowedType: (typ: string) => boolean
  /** The type is what tells it from other tokens of its issuer. */
  readonly needsType?: true
  /** All members that may occur; absent: whatever is not dangerous is ignored (RFC 7515 §4). */
  readonly onlyMembers?: readonly string[]
}

const MAX_KID_LENGTH = 256

/**
 * Besides what no JWS may carry: keys and certificates by other names, JWE and PBES2 parameters.
 * `x5t` and `x5t#S256` are not here: GitHub and Entra send them, they are a name and not a key, and
 * nothing reads them.
 */
const REFUSED_MEMBERS: ReadonlySet<string> = new Set([
  'trust_chain',
  'epk',
  'apu',
  'apv',
  'iv',
  'tag',
  'p2s',
  'p2c',
  'nonce',
])

/**
 * Types of a plain JWT. Every other type is refused, `at+jwt` of any issuer included: a token that was
 * made to be spent somewhere, to log out, to report an event or to prove a key is not an attestation
 * (JW-12, JB-07). `x` and `application/x` are the same type, in any case (RFC 7515 §4.1.9).
 */
export function isPlainJwtType(typ: string): boolean {
  const name = typ.toLowerCase()
  return name === 'jwt' || name === 'application/jwt'
}

export type HeaderRule = {
  readonly check: string
  /** The member that is judged; absent: all of them. */
  readonly member?: string
  readonly fault: (header: JsonObject, rules: HeaderRules) => AttestationFault | null
}

/** In the order in which they refuse. */
export const HEADER_RULES: readonly HeaderRule[] = [
  { check: 'header', fault: memberFault },
  { check: 'type', member: 'typ', fault: ({ typ }, rules) => typeFault(typ, rules) },
  { check: 'algorithm', member: 'alg', fault: ({ alg }, rules) => algorithmFault(alg, rules) },
  { check: 'key id', member: 'kid', fault: ({ kid }) => keyNameFault(kid) },
]

export function headerFault(header: JsonObject, rules: HeaderRules): AttestationFault | null {
  for (const { fault } of HEADER_RULES) {
    const found = fault(header, rules)
    if (found !== null) return found
  }
  return null
}

function memberFault(header: JsonObject, rules: HeaderRules): AttestationFault | null {
  const refused =
    refusedHeaderMember(header) ??
    Object.keys(header).find(
      (member) => REFUSED_MEMBERS.has(member) || rules.onlyMembers?.includes(member) === false,
    )
  return refused === undefined
    ? null
    : { reason: 'header_not_allowed', claim: refused.slice(0, MAX_KID_LENGTH) }
}

function typeFault(
  typ: JsonObject[string] | undefined,
  rules: HeaderRules,
): AttestationFault | null {
  if (typ === undefined && rules.needsType !== true) return null
  if (typeof typ === 'string' && rules.isAllowedType(typ)) return null
  return { reason: 'type_not_allowed', claim: 'typ' }
}

function algorithmFault(
  alg: JsonObject[string] | undefined,
  rules: HeaderRules,
): AttestationFault | null {
  if (typeof alg === 'string' && rules.algorithms.includes(alg)) return null
  return { reason: 'algorithm_not_allowed', claim: 'alg' }
}

/** Required throughout: go-spiffe and SPIRE do too (C9), and every platform sends it. */
function keyNameFault(kid: JsonObject[string] | undefined): AttestationFault | null {
  if (typeof kid === 'string' && kid !== '' && kid.length <= MAX_KID_LENGTH && isPlainText(kid)) {
    return null
  }
  return { reason: 'header_not_allowed', claim: 'kid' }
}
