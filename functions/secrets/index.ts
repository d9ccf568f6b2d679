// The secrets/ family: where a target's credential comes from. Resolves `scheme:name` over the sources
// of this deployment; a reference that no source knows is not found, never looked for elsewhere.
import type { Secret } from '../core/credential.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { SecretFault, SecretSource, Secrets } from '../core/secret-source.ts'
import type { AwsSourceDeps } from './aws-source.ts'
import { onDemand } from './on-demand.ts'

export { createEnvSource, parseEnvSecrets } from './env.ts'
export { createSealedSource, resealSecrets, sealSecret } from './sealed.ts'

export function createAwsSources(deps: AwsSourceDeps): readonly SecretSource[] {
  return [
    onDemand('aws-secrets-manager', async () =>
      (await import('./aws-secrets-manager.ts')).createSecretsManagerSource(deps),
    ),
    onDemand('aws-ssm', async () =>
      (await import('./aws-ssm.ts')).createParameterStoreSource(deps),
    ),
  ]
}

type Destination = Result<readonly string[] | 'any' | 'unread', SecretFault>

export type CheckedSecrets = Secrets & {
  /**
   * Where a secret may be sent (policy checks): `any` where it goes with what names it, `unread` where it
   * does and was not looked up. Only an admin has a source outside of the broker asked.
   */
  allowedOrigins(reference: string, asker?: 'admin' | 'other'): Promise<Destination>
}

export function createSecrets(sources: readonly SecretSource[]): CheckedSecrets {
  const byScheme = new Map(sources.map((source) => [source.scheme, source]))

  function found(reference: string): { source: SecretSource | undefined; name: string } {
    const colon = reference.indexOf(':')
    const source = colon < 0 ? undefined : byScheme.get(reference.slice(0, colon))
    return { source, name: reference.slice(colon + 1) }
  }

  return {
    async resolve(reference) {
      const { source, name } = found(reference)
      return source === undefined ? fail({ reason: 'not_found', reference }) : source.read(name)
    },
    doubt(reference) {
      const { source, name } = found(reference)
      source?.doubt?.(name)
    },
    async allowedOrigins(reference, asker = 'admin') {
      const { source, name } = found(reference)
      if (source === undefined) return fail({ reason: 'not_found', reference })
      if (asker !== 'admin' && source.inspect !== undefined) {
        const fault = await source.inspect(name)
        return fault === null ? ok('unread') : fail(fault)
      }
      return destinationOf(await (source.readStored?.(name) ?? source.read(name)))
    },
  }
}

/** A source that did not answer is no mistake of a policy: it is found out when the secret is used. */
function destinationOf(secret: Result<Secret, SecretFault>): Destination {
  if (secret.ok) return ok(secret.value.allowedOrigins ?? 'any')
  return secret.failure.reason === 'unavailable' ? ok('unread') : secret
}
