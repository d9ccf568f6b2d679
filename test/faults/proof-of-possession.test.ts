// What a proof costs, when it counts as used, and how long it can be used: over the whole app, with a
// clock of its own.
import { describe, expect, test } from 'vitest'
import { type ProofKey, proofKey, type ProofOf } from '../fakes/proof-key.ts'
import { type InProcess, startInProcess } from './in-process.ts'

const ISSUER = 'https://broker.example'
const PATH = '/v1/customers/1'

async function start(): Promise<{ broker: InProcess; key: ProofKey }> {
  const broker = await startInProcess()
  return { broker, key: await proofKey() }
}

async function exchange(broker: InProcess, key: ProofKey, of: Partial<ProofOf> = {}) {
  const iat = broker.clock.nowSeconds()
  const claims = { iat, ...of.claims }
  const dpop = await key.proof({ url: `${ISSUER}/token-exchange`, ...of, claims })
  const body = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    subject_token: await broker.token(),
    audience: 'crm',
  })
  return broker.fetch('/token-exchange', { method: 'POST', headers: { dpop }, body })
}

async function handleOf(broker: InProcess, key: ProofKey): Promise<string> {
  const { access_token: handle } = (await (await exchange(broker, key)).json()) as {
    access_token?: string
  }
  if (handle === undefined) throw new Error('no handle')
  return handle
}

/** A proof for one GET; how it is used is up to the test. */
function proofFor(broker: InProcess, key: ProofKey, token: string): Promise<string> {
  const iat = broker.clock.nowSeconds()
  return key.proof({ url: `${ISSUER}/t/crm${PATH}`, method: 'GET', token, claims: { iat } })
}

function call(broker: InProcess, handle: string, dpop: string, path = PATH): Promise<Response> {
  const headers = { authorization: `DPoP ${handle}`, dpop }
  return broker.fetch(`/t/crm${path}`, { headers })
}

describe('DP-04: a proof', () => {
  test('costs no round trip, neither of the exchange nor of the action', async () => {
    const { broker, key } = await start()
    await handleOf(broker, key)
    const { counters } = broker.driver
    const counted = async (work: () => Promise<unknown>) => {
      const { reads, writes } = counters
      await work()
      return [counters.reads - reads, counters.writes - writes]
    }
    let handle = ''
    expect(await counted(async () => (handle = await handleOf(broker, key)))).toEqual([1, 1])
    const dpop = await proofFor(broker, key, handle)
    const act = async () => (await call(broker, handle, dpop)).text()
    expect(await counted(act)).toEqual([1, 2])
    // Stolen, it does not even get to read.
    const steal = async () => (await broker.call(handle, PATH)).text()
    expect(await counted(steal)).toEqual([0, 1])
  })

  test('is used up by the action and by nothing less', async () => {
    const { broker, key } = await start()
    const handle = await handleOf(broker, key)
    const dpop = await proofFor(broker, key, handle)
    await broker.sql(`CREATE TRIGGER fault BEFORE INSERT ON audit_event WHEN NEW.type = 'action'
      BEGIN SELECT RAISE(ABORT, 'fault'); END`)
    expect((await call(broker, handle, dpop)).status).toBe(503)
    await broker.sql('DROP TRIGGER fault')
    expect((await call(broker, handle, dpop)).status).toBe(200)
    expect((await call(broker, handle, dpop)).status).toBe(401)
    expect(broker.reached).toHaveLength(1)
  })

  test('is refused again after its key was purged, because it is too old by then', async () => {
    const { broker, key } = await start()
    const handle = await handleOf(broker, key)
    const dpop = await proofFor(broker, key, handle)
    expect((await call(broker, handle, dpop)).status).toBe(200)
    for (const seconds of [60, 60, 60, 61]) {
      broker.clock.advance(seconds)
      await broker.app.maintain()
      expect((await call(broker, handle, dpop)).status).toBe(401)
    }
    expect(await broker.sql("SELECT * FROM single_use WHERE key LIKE 'dpop:%'")).toHaveLength(0)
    expect(broker.reached).toHaveLength(1)
  })

  test('leaves a refusal that names the reason, and neither handle nor proof', async () => {
    const { broker, key } = await start()
    const handle = await handleOf(broker, key)
    const dpop = await (
      await proofKey()
    ).proof({
      url: `${ISSUER}/t/crm${PATH}`,
      method: 'GET',
      token: handle,
      claims: { iat: broker.clock.nowSeconds() },
    })
    expect((await call(broker, handle, dpop)).status).toBe(401)
    const [last] = await broker.sql(
      "SELECT draft FROM audit_event WHERE type = 'refusal' ORDER BY seq DESC LIMIT 1",
    )
    const draft = String(last?.[0])
    expect(JSON.parse(draft)).toMatchObject({ reason: 'wrong_key' })
    expect(draft).not.toContain(handle)
    expect(draft).not.toContain(dpop)
  })
})
