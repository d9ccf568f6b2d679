// `sealed:{name}`: secrets in the store, sealed under the KEK. Name and allowed origins are bound to the
// ciphertext: whoever can write to the store can neither swap two secrets nor send one elsewhere.
import { Secret } from '../core/credential.ts'
import type { Clock } from '../core/ports.ts'
import { fail, ok } from '../core/result.ts'
import { isReservedSecret, type SecretSource } from '../core/secret-source.ts'
import type { Sealer } from '../crypto/seal.ts'
import type { SealedSecretRow, SecretStore } from '../store/contract.ts'

/** A replaced or deleted secret is out of use after this long; within it an action costs no read for it. */
const FRESH_MS = 1000
const MAX_CACHED = 256
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

type SealedPart = Pick<SealedSecretRow, 'name' | 'allowedOrigins'>

export function createSealedSource(deps: {
  readonly store: SecretStore
  readonly sealer: Sealer
  readonly clock: Clock
}): SecretSource {
  const cache = new Map<string, { readonly readAtMs: number; readonly secret: Secret }>()

  const readStored: SecretSource['read'] = async (name) => {
    const reference = `sealed:${name}`
    if (!NAME.test(name) || isReservedSecret(name)) {
      return fail({ reason: 'not_found', reference })
    }
    // Before the read, so that the age counts from when the row was certainly the current one.
    const readAtMs = deps.clock.nowMs()
    cache.delete(name)
    const row = await deps.store.get(name)
    if (row === null) return fail({ reason: 'not_found', reference })
    const opened = await deps.sealer.open(purposeOf(row), row.sealed)
    if (opened === null || row.name !== name) return fail({ reason: 'unreadable', reference })
    const secret = new Secret(opened.plaintext, row.allowedOrigins)
    if (cache.size >= MAX_CACHED) cache.clear()
    cache.set(name, { readAtMs, secret })
    return ok(secret)
  }

  return {
    scheme: 'sealed',
    async read(name) {
      const known = cache.get(name)
      const isFresh =
        known !== undefined && Math.abs(deps.clock.nowMs() - known.readAtMs) < FRESH_MS
      return isFresh ? ok(known.secret) : readStored(name)
    },
    readStored,
  }
}

/** What SecretStore.put takes as `sealed`; the only place that seals a secret. */
export function sealSecret(
  sealer: Sealer,
  secret: SealedPart & { value: string },
): Promise<string> {
  return sealer.seal(purposeOf(secret), secret.value)
}

/** The value of a row that `sealSecret` made; null for any other. */
export async function openSecret(
  sealer: Sealer,
  row: Pick<SealedSecretRow, 'name' | 'allowedOrigins' | 'sealed'>,
): Promise<string | null> {
  return (await sealer.open(purposeOf(row), row.sealed))?.plaintext ?? null
}

/** Seals every secret again that is still under the previous KEK; returns how many. */
export async function resealSecrets(deps: {
  readonly store: SecretStore
  readonly sealer: Sealer
}): Promise<number> {
  let resealed = 0
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<SecretStore['list']>> = await deps.store.list({
      cursor,
      limit: 100,
    })
    for (const { name } of page.items) if (await resealOne(deps, name)) resealed++
    cursor = page.nextCursor
  } while (cursor !== null)
  return resealed
}

async function resealOne(
  { store, sealer }: { readonly store: SecretStore; readonly sealer: Sealer },
  name: string,
): Promise<boolean> {
  const row = await store.get(name)
  const opened = row === null ? null : await sealer.open(purposeOf(row), row.sealed)
  if (row === null || opened === null || !opened.usedPrevious) return false
  const sealed = await sealSecret(sealer, { ...row, value: opened.plaintext })
  return store.reseal(name, row.sealed, sealed)
}

function purposeOf({ name, allowedOrigins }: SealedPart): string {
  return `secret:${name} ${JSON.stringify(allowedOrigins)}`
}
