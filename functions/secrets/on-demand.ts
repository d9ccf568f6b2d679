// A source that is loaded when the first reference of its scheme turns up: most deployments have none, and
// no cold start waits for it.
import type { SecretSource } from '../core/secret-source.ts'

export function onDemand(scheme: string, load: () => Promise<SecretSource>): SecretSource {
  let source: SecretSource | null = null
  const loaded = async () => (source ??= await load())
  return {
    scheme,
    read: async (name) => (await loaded()).read(name),
    async readStored(name) {
      const known = await loaded()
      return known.readStored === undefined ? known.read(name) : known.readStored(name)
    },
    inspect: async (name) => (await loaded()).inspect?.(name) ?? null,
    // What was never read cannot be doubted.
    doubt: (name) => source?.doubt?.(name),
  }
}
