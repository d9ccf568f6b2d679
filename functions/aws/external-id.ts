// The ExternalId by which a role knows the broker and the one target that stands for it (SC-08): stable, not
// to be guessed, and never the caller's. Derived from one value of the deployment, which is sealed in the
// store and which no policy can name.
import { createHmac } from 'node:crypto'
import { draftEvent } from '../core/events.ts'
import type { Clock, Ids } from '../core/ports.ts'
import { encodeBase64url } from '../crypto/base64url.ts'
import type { Sealer } from '../crypto/seal.ts'
import { openSecret, sealSecret } from '../secrets/sealed.ts'
import type { SecretStore } from '../store/contract.ts'

export interface ExternalIds {
  /** base64url, 43 characters; null where the value that they come from cannot be opened. */
  of(target: string): Promise<string | null>
}

export type ExternalIdDeps = {
  readonly store: Pick<SecretStore, 'get' | 'put'>
  readonly sealer: Sealer
  readonly clock: Clock
  readonly ids: Pick<Ids, 'fresh'>
}

const NAME = 'sallyport-external-id'
const BYTES = 32

export function createExternalIds(deps: ExternalIdDeps): ExternalIds {
  // Kept as a value: workerd ties a promise to the request that made it.
  let root: string | null = null
  return {
    async of(target) {
      root ??= await readRoot(deps)
      if (root === null) return null
      return createHmac('sha256', root).update(`external-id:${target}`).digest('base64url')
    },
  }
}

/** Whoever comes second reads what the first has written: there is never more than one. */
async function readRoot(deps: ExternalIdDeps): Promise<string | null> {
  const { store, sealer, clock } = deps
  const found = await store.get(NAME)
  if (found === null) {
    const value = encodeBase64url(crypto.getRandomValues(new Uint8Array(BYTES)))
    const row = { name: NAME, allowedOrigins: [] }
    const sealed = await sealSecret(sealer, { ...row, value })
    await store.put({ ...row, sealed }, clock.nowSeconds(), madeEvent(deps), 0)
  }
  const row = found ?? (await store.get(NAME))
  // Never made anew under another KEK: that would lock the broker out of every role that pins this one.
  return row === null ? null : openSecret(sealer, row)
}

function madeEvent(deps: ExternalIdDeps): ReturnType<typeof draftEvent> {
  return draftEvent(
    {
      type: 'admin',
      decisionId: deps.ids.fresh('dec'),
      identity: 'sallyport',
      action: { operation: 'secret.put', name: NAME },
      outcome: { result: 'applied' },
      policyRevision: 0,
    },
    deps,
  )
}
