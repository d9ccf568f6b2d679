// The secrets/ family: where a target's credential comes from. Resolves `scheme:name` over the sources
// of this deployment; a reference that no source knows is not found, never looked for elsewhere.
import { fail } from '../core/result.ts'
import type { SecretSource, Secrets } from '../core/secret-source.ts'

export { createEnvSource, parseEnvSecrets } from './env.ts'
export { createSealedSource, resealSecrets, sealSecret } from './sealed.ts'

export function createSecrets(sources: readonly SecretSource[]): Secrets & {
  /**
   * Where a secret may be sent (policy checks): `any` where it goes with what names it; null when
   * there is none that can be read.
   */
  allowedOrigins(reference: string): Promise<readonly string[] | 'any' | null>
} {
  const byScheme = new Map(sources.map((source) => [source.scheme, source]))

  async function resolve(
    reference: string,
    read: (source: SecretSource, name: string) => ReturnType<SecretSource['read']>,
  ): ReturnType<SecretSource['read']> {
    const colon = reference.indexOf(':')
    const source = colon < 0 ? undefined : byScheme.get(reference.slice(0, colon))
    if (source === undefined) return fail({ reason: 'not_found', reference })
    return read(source, reference.slice(colon + 1))
  }

  return {
    resolve: (reference) => resolve(reference, (source, name) => source.read(name)),
    async allowedOrigins(reference) {
      const secret = await resolve(
        reference,
        (source, name) => source.readStored?.(name) ?? source.read(name),
      )
      return secret.ok ? (secret.value.allowedOrigins ?? 'any') : null
    },
  }
}
