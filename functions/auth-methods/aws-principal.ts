// AWS principals by their ARN: parsed whole or refused, and what a method's `accounts` and `roles` say
// of them (AW-12, AW-13, AW-14). Root users, federated users and whatever AWS adds are refused.
import type { AttestationFault } from '../core/auth-method.ts'
import { isPartition } from './aws-regions.ts'
import type { ConfigReader, Mistake } from '../policy/config-reader.ts'

export type AwsPrincipal = {
  readonly partition: string
  readonly account: string
  readonly kind: 'role' | 'user'
  readonly name: string
  /** `/team/` or `/`; null where it is not shown, as in the ARN of an assumed role. */
  readonly path: string | null
  /** Of an assumed role: chosen by whoever assumed it. */
  readonly session: string | null
}

const ACCOUNT = /^[0-9]{12}$/
/** IAM: characters of the names of roles and users, and of role sessions. */
const NAME = /^[A-Za-z0-9_+=,.@-]{1,64}$/
const SESSION = /^[A-Za-z0-9_+=,.@-]{2,64}$/
const MAX_PATH_LENGTH = 512
const MAX_ARN_LENGTH = 2048

/** A principal as STS and IAM write it, or null for every other kind of ARN. */
export function parsePrincipalArn(arn: string): AwsPrincipal | null {
  const [prefix, partition, service, region, account, resource, ...more] = arn
    .slice(0, MAX_ARN_LENGTH + 1)
    .split(':')
  if (prefix !== 'arn' || partition === undefined || !isPartition(partition)) return null
  if (region !== '' || account === undefined || !ACCOUNT.test(account)) return null
  if (resource === undefined || more.length > 0 || arn.length > MAX_ARN_LENGTH) return null
  const [kind, ...steps] = resource.split('/')
  if (service === 'sts' && kind === 'assumed-role') {
    const [name = '', session = '', ...rest] = steps
    if (rest.length > 0 || !NAME.test(name) || !SESSION.test(session)) return null
    return { partition, account, kind: 'role', name, path: null, session }
  }
  if (service !== 'iam' || (kind !== 'role' && kind !== 'user')) return null
  const name = steps.pop() ?? ''
  const path = ['', ...steps, ''].join('/')
  if (!NAME.test(name) || !isPath(steps, path)) return null
  return { partition, account, kind, name, path, session: null }
}

/** IAM allows `//` and `.` in paths; here they only serve to be read in two ways. */
function isPath(steps: readonly string[], path: string): boolean {
  return (
    path.length <= MAX_PATH_LENGTH &&
    steps.every((step) => /^[\x21-\x29\x2b-\x7e]+$/.test(step) && step !== '.' && step !== '..')
  )
}

/** The ARN that names the role or user itself, and never a session. */
export function canonicalArn({ partition, account, kind, name, path }: AwsPrincipal): string {
  return `arn:${partition}:iam::${account}:${kind}${path ?? '/'}${name}`
}

type RoleRule = {
  readonly partition: string
  readonly account: string
  readonly path: string | null
  /** Null for every role. */
  readonly name: string | null
}

export type PrincipalRules = {
  readonly accounts: readonly string[]
  readonly roles: readonly RoleRule[] | null
}

const MAX_ACCOUNTS = 256
const MAX_ROLES = 256
const ANY = '*'

/** `seesPaths`: whether the attestation shows the path of a role at all. */
export function readPrincipalRules(
  reader: ConfigReader,
  { seesPaths }: { readonly seesPaths: boolean },
): PrincipalRules {
  const accounts = reader.texts('accounts', { maxItems: MAX_ACCOUNTS, mistakeOf: accountMistake })
  const given = reader.texts('roles', {
    maxItems: MAX_ROLES,
    absent: [],
    mistakeOf: (arn) => roleMistake(arn, { accounts, seesPaths }),
  })
  const roles = given.map(roleRule).filter((rule) => rule !== null)
  return { accounts, roles: reader.get('roles') === undefined ? null : roles }
}

function accountMistake(account: string): Mistake | null {
  return ACCOUNT.test(account)
    ? null
    : { code: 'format', message: 'must be the 12 digits of an account' }
}

function roleMistake(
  arn: string,
  context: { readonly accounts: readonly string[]; readonly seesPaths: boolean },
): Mistake | null {
  const account = arn.split(':')[4] ?? ''
  // The same name in another account is another role, and anybody can make it (CVE-2025-11621).
  if (account.includes(ANY)) return { code: 'unsafe', message: 'must name the account' }
  const rule = roleRule(arn)
  if (rule === null) {
    const message = 'must be arn:…:iam::ACCOUNT:role/NAME; `*` stands for a whole name only'
    return { code: 'format', message }
  }
  if (!context.accounts.includes(account)) {
    return { code: 'value', message: 'is in an account that `accounts` does not list' }
  }
  if (rule.path !== null && rule.name === null && !context.seesPaths) {
    return { code: 'unsafe', message: 'rests on the path, which STS does not show' }
  }
  return null
}

/** A role's ARN with or without its path, or with `*` for the name. */
function roleRule(arn: string): RoleRule | null {
  const isAny = arn.endsWith(`/${ANY}`)
  // Stands for the name while the rest is parsed; it is never compared.
  const principal = parsePrincipalArn(isAny ? `${arn.slice(0, -1)}any` : arn)
  if (principal === null || principal.kind !== 'role' || principal.session !== null) return null
  const { partition, account, name, path } = principal
  return { partition, account, path: path === '/' ? null : path, name: isAny ? null : name }
}

/** Whether each rule names one role. */
export function namesRoles({ roles }: PrincipalRules): boolean {
  return roles !== null && roles.every(({ name }) => name !== null)
}

export function principalFault(
  principal: AwsPrincipal,
  { accounts, roles }: PrincipalRules,
  claims: { readonly account: string; readonly principal: string },
): AttestationFault | null {
  if (!accounts.includes(principal.account)) {
    return { reason: 'claim_mismatch', claim: claims.account, got: principal.account }
  }
  if (roles === null || roles.some((rule) => isRole(principal, rule))) return null
  return { reason: 'claim_mismatch', claim: claims.principal, got: canonicalArn(principal) }
}

/** Names of roles are unique within an account, whatever their paths: a path only narrows. */
function isRole(principal: AwsPrincipal, rule: RoleRule): boolean {
  return (
    principal.kind === 'role' &&
    principal.partition === rule.partition &&
    principal.account === rule.account &&
    (rule.name === null || principal.name === rule.name) &&
    (rule.path === null || principal.path === null || principal.path === rule.path)
  )
}
