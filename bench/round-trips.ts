// Round trips to the store of one warm exchange and one warm action, counted by the driver itself.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApp } from '../functions/app.ts'
import { readConfig } from '../functions/config.ts'
import type { RequestFacts } from '../functions/platform.ts'
import { nodePlatform } from '../functions/platforms/node.ts'
import { ADMIN_TOKEN, configureApp, exchangeForm, type Issuer, policyOf } from './world.ts'

export type RoundTrips = { readonly reads: number; readonly writes: number }

export type PathRoundTrips = { readonly exchange: RoundTrips; readonly action: RoundTrips }

const BROKER = 'http://127.0.0.1:8787'

export async function countRoundTrips(origin: string, issuer: Issuer): Promise<PathRoundTrips> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-trips-'))
  const settings: Readonly<Record<string, string>> = {
    DATABASE_URL: `file:${join(folder, 'sallyport.db')}`,
    SALLYPORT_ADMIN_TOKEN: ADMIN_TOKEN,
    SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1',
    SALLYPORT_KEK: Buffer.alloc(32, 7).toString('base64url'),
    LOG_LEVEL: 'error',
  }
  const env = (name: string) => settings[name]
  const config = readConfig(env, { runtime: 'node' })
  if (!config.ok) throw new Error('the settings of the benchmark are refused')
  const platform = nodePlatform(config.value, env)
  const app = await createApp(platform, config.value)
  const send = async (path: string, init: RequestInit = {}) => {
    const request = new Request(`${BROKER}${path}`, init)
    const answer = await app.fetch(request, factsOf(request, path))
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`)
    return text
  }
  const counted = async (work: () => Promise<unknown>): Promise<RoundTrips> => {
    const { reads, writes } = platform.driver.counters
    await work()
    const after = platform.driver.counters
    return { reads: after.reads - reads, writes: after.writes - writes }
  }
  try {
    await app.migrate()
    await configureApp(send, origin, policyOf(issuer.url, origin))
    const exchange = () =>
      send('/token-exchange', {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: exchangeForm(issuer.tokens[0] ?? ''),
      })
    // The exchange answers with a handle (design of the API).
    const { access_token: handle } = JSON.parse(await exchange()) as { access_token: string }
    const action = () =>
      send('/t/crm/v1/customers/42', { headers: { authorization: `Bearer ${handle}` } })
    await action()
    return { exchange: await counted(exchange), action: await counted(action) }
  } finally {
    await app.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function factsOf(request: Request, rawTarget: string): RequestFacts {
  return { rawTarget, clientAddress: '127.0.0.1', headerLines: [...request.headers] }
}
