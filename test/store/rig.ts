// The three stores under test, each reached by as many driver instances as a test asks for.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getPlatformProxy } from 'wrangler'
import { createD1Driver } from '../../functions/store/d1-driver.ts'
import type { D1Binding } from '../../functions/store/d1-driver.ts'
import type { Driver } from '../../functions/store/driver.ts'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { createHttpDriver } from '../../functions/store/http-driver.ts'
import { startHranaServer } from '../fakes/hrana-server.ts'

export type Opened = {
  /** A fresh driver on the same database: another isolate or process. */
  connect(): Driver
  close(): Promise<void>
}

export const STORE_KINDS = ['file', 'http', 'd1'] as const
export type StoreKind = (typeof STORE_KINDS)[number]

const OPEN: Record<StoreKind, () => Promise<Opened>> = {
  file: openFile,
  http: openHttp,
  d1: openD1,
}

export function openStore(kind: StoreKind): Promise<Opened> {
  return OPEN[kind]()
}

async function openFile(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'store-'))
  const opened: Driver[] = []
  return {
    connect() {
      const driver = createFileDriver({ path: join(folder, 'store.db') })
      opened.push(driver)
      return driver
    },
    async close() {
      for (const driver of opened) await driver.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function openHttp(): Promise<Opened> {
  const server = await startHranaServer({ token: 'store-test' })
  return {
    connect: () => createHttpDriver({ url: server.url, authToken: 'store-test' }),
    close: () => server.close(),
  }
}

async function openD1(): Promise<Opened> {
  process.env['WRANGLER_SEND_METRICS'] = 'false'
  process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false'
  const proxy = await getPlatformProxy<{ DB: D1Binding }>({
    configPath: fileURLToPath(new URL('d1.wrangler.jsonc', import.meta.url)),
    persist: false,
    envFiles: [],
    remoteBindings: false,
  })
  return {
    connect: () => createD1Driver(proxy.env.DB, { deadlineMs: 30_000 }),
    close: () => proxy.dispose(),
  }
}
