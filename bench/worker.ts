// The same two paths through the Worker bundle in workerd, with its local D1. Both are stand-ins for the
// platform: the figures tell what the bundle costs here, not what Cloudflare's network does.
import { startWorkerd } from '../test/runtime/rig.ts'
import { inTurns, type Length, type Pair, warmed } from './paths.ts'
import {
  actionRequests,
  ADMIN_TOKEN,
  configure,
  exchangeRequests,
  get,
  type Issuer,
  policyOf,
} from './world.ts'

export type WorkerPaths = {
  readonly hello: Pair
  readonly exchange: Pair
  readonly action: Pair
}

export async function measureWorkerPaths(
  origin: string,
  issuer: Issuer,
  length: Length,
): Promise<WorkerPaths> {
  const worker = await startWorkerd({
    env: { SALLYPORT_ADMIN_TOKEN: ADMIN_TOKEN, SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1' },
  })
  try {
    const { baseUrl } = worker
    await configure(baseUrl, origin, policyOf(issuer.url, origin))
    const target = { url: baseUrl, pid: null }
    const subjects = {
      hello: await warmed(target, [get(baseUrl, '/healthz', 'none')], length),
      exchange: await warmed(target, exchangeRequests(baseUrl, issuer), length),
      action: await warmed(target, await actionRequests(baseUrl, issuer), length),
    }
    // Every name of WorkerPaths is one of these subjects.
    return (await inTurns(subjects, length)) as WorkerPaths
  } finally {
    await worker.stop()
  }
}
