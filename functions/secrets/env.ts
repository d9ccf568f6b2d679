// `env:{NAME}`: secrets in the environment of the deployment. Only names that SALLYPORT_ENV_SECRETS lists,
// with the origins it may be sent to; without any it goes where the target that names it goes, and only
// an admin may write such a target (policy/admin-target.ts).
import { Secret } from '../core/credential.ts'
import { fail, ok } from '../core/result.ts'
import type { SecretSource } from '../core/secret-source.ts'

export type EnvSecret = {
  readonly name: string
  readonly allowedOrigins: readonly string[] | null
}

export type EnvSecretMistake = { readonly entry: number; readonly message: string }

export function createEnvSource(deps: {
  readonly secrets: readonly EnvSecret[]
  readonly env: (name: string) => string | undefined
}): SecretSource {
  const listed = new Map(deps.secrets.map((secret) => [secret.name, secret.allowedOrigins]))
  return {
    scheme: 'env',
    read(name) {
      const reference = `env:${name}`
      const allowedOrigins = listed.get(name)
      if (allowedOrigins === undefined) {
        return Promise.resolve(fail({ reason: 'not_allowed', reference } as const))
      }
      const value = deps.env(name)
      if (value === undefined || value === '') {
        return Promise.resolve(fail({ reason: 'not_found', reference } as const))
      }
      return Promise.resolve(ok(new Secret(value, allowedOrigins)))
    },
  }
}

/** `NAME` or `NAME@https://origin[@https://origin…]`, entries separated by commas. A message never repeats the text. */
export function parseEnvSecrets(text: string): {
  readonly secrets: readonly EnvSecret[]
  readonly mistakes: readonly EnvSecretMistake[]
} {
  const secrets: EnvSecret[] = []
  const mistakes: EnvSecretMistake[] = []
  for (const [index, entry] of text.split(',').entries()) {
    const [name = '', ...origins] = entry.trim().split('@')
    const message = mistakeOf(name, origins, secrets)
    if (message === null)
      secrets.push({ name, allowedOrigins: origins.length === 0 ? null : origins })
    else mistakes.push({ entry: index + 1, message })
  }
  return { secrets, mistakes }
}

function mistakeOf(
  name: string,
  origins: readonly string[],
  before: readonly EnvSecret[],
): string | null {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return 'must begin with the name of a variable'
  // Else a target could be told to send the broker's own key to its origin.
  if (/^(SALLYPORT|DATABASE)_/i.test(name)) return "must not name a setting of the broker's own"
  if (before.some((secret) => secret.name === name)) return 'must not name a variable twice'
  return origins.every(isOrigin) ? null : 'must give origins such as https://crm.example'
}

function isOrigin(text: string): boolean {
  // A `*` parses as a host name, and would read as if it matched something.
  if (text.includes('*') || !URL.canParse(text)) return false
  const { protocol, origin } = new URL(text)
  return (protocol === 'https:' || protocol === 'http:') && origin === text
}
