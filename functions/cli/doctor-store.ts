// The settings and the store that this environment names: to be run where the broker runs.
import { existsSync } from 'node:fs'
import { readConfig } from '../config.ts'
import { createSealer } from '../crypto/seal.ts'
import { openSigningKey } from '../crypto/signing-key.ts'
import { loadOrCreateKek } from '../platforms/node-kek.ts'
import { nodePlatform } from '../platforms/node.ts'
import { createStores } from '../store/index.ts'
import { storeFault } from '../store/self-test.ts'
import type { Check } from './doctor.ts'
import type { CliIo } from './io.ts'

const FAULTS = {
  not_visible: 'an acknowledged write cannot be read through another connection',
  not_atomic: 'a batch that failed left something behind',
  not_removed: 'a removed row is still there',
} as const

export async function storeChecks(io: CliIo): Promise<Check[]> {
  const config = readConfig(io.env, { runtime: 'node', generateKek: existingKek })
  if (!config.ok) {
    return config.failure.map(({ setting, message }) => ({
      check: 'settings',
      status: 'FAIL' as const,
      detail: `${setting} ${message}`,
      fix: `set ${setting} as it says`,
    }))
  }
  const checks: Check[] = [{ check: 'settings', status: 'OK', detail: 'all of them hold' }]
  const { driver: writer, ids, hashing, clock } = nodePlatform(config.value, io.env)
  const { driver: reader } = nodePlatform(config.value, io.env)
  try {
    checks.push(durabilityCheck(await storeFault(writer, reader, ids.fresh('jti'))))
    const stores = createStores({ driver: writer, hashing, clock })
    const sealer = createSealer({ kek: config.value.kek, kekPrevious: config.value.kekPrevious })
    const purposes = ['handle', 'federation'] as const
    const rows = (await Promise.all(purposes.map(stores.signingKeys.list))).flat()
    const opened = await Promise.all(rows.map((row) => openSigningKey(sealer, row)))
    checks.push(
      kekCheck(rows.length, opened.filter((one) => one === null).length),
      staleCheck(opened.filter((one) => one?.isStale === true).length),
    )
  } catch (error) {
    const detail = `the store does not answer (${error instanceof Error ? error.name : 'unknown'})`
    const fix = 'check DATABASE_URL and DATABASE_AUTH_TOKEN; apply migrations with: sallyport serve'
    checks.push({ check: 'store', status: 'FAIL', detail, fix })
  } finally {
    await Promise.allSettled([writer.close(), reader.close()])
  }
  return checks
}

/** A doctor makes no key: without a database there is nothing to check. */
function existingKek(databasePath: string): Uint8Array {
  if (existsSync(databasePath)) return loadOrCreateKek(databasePath)
  throw new Error(`is not there, and neither is ${databasePath}: start the broker once`)
}

function durabilityCheck(fault: keyof typeof FAULTS | null): Check {
  const check = 'store durability'
  if (fault === null) {
    const detail = 'written, read by a second connection, rolled back as a whole'
    return { check, status: 'OK', detail }
  }
  const fix = 'do not use this store: grants and their records would come apart'
  return { check, status: 'FAIL', detail: FAULTS[fault], fix }
}

function kekCheck(total: number, unreadable: number): Check {
  const check = 'signing keys in the store'
  if (unreadable === 0) return { check, status: 'OK', detail: `${total}, all of them open` }
  const detail = `${unreadable} of ${total} do not open under this KEK`
  return { check, status: 'FAIL', detail, fix: 'set SALLYPORT_KEK_PREVIOUS to the KEK before' }
}

function staleCheck(stale: number): Check {
  const check = 'KEK rotation'
  if (stale === 0) return { check, status: 'OK', detail: 'nothing is sealed under an older KEK' }
  const detail = `${stale} signing keys are sealed under SALLYPORT_KEK_PREVIOUS`
  return { check, status: 'WARN', detail, fix: 'start the broker once: it seals them again' }
}
