// A signed GetCallerIdentity request against every entry as shipped: what leaves for STS, byte for byte as it
// was signed, and what its answers become on the wire.
import { AwsV4Signer } from 'aws4fetch'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readSignature } from '../fakes/sigv4.ts'
import { callerDocument } from '../fakes/sts.ts'
import {
  applyPolicy,
  ENTRIES,
  type Peer,
  policyOf,
  startPeer,
  startWorld,
  type World,
} from './world.ts'

const ACCOUNT = '123456789012'
const KEYS = {
  accessKeyId: 'ASIAROLE00000000000A',
  secretAccessKey: 'role/secret+key',
  sessionToken: 'FwoGZXIvYXdzEBYaD+/session==token',
}
const CALLER = {
  account: ACCOUNT,
  arn: `arn:aws:sts::${ACCOUNT}:assumed-role/agent/i-0abc`,
  userId: 'AROAEXAMPLE000000000:i-0abc',
}
const BODY = 'Action=GetCallerIdentity&Version=2011-06-15'

describe.each(ENTRIES)('aws-iam on %s', (entry) => {
  let world: World
  let sts: Peer
  let answer: { status: number; location?: string }

  beforeAll(async () => {
    sts = await startPeer((request, response, _peer, body) => {
      const { status, location } = answer
      const lines: [string, string][] = []
      for (let at = 0; at < request.rawHeaders.length; at += 2) {
        lines.push([request.rawHeaders[at] ?? '', request.rawHeaders[at + 1] ?? ''])
      }
      const target = request.url ?? ''
      const signature = readSignature({
        method: request.method ?? '',
        target,
        headers: lines,
        body,
      })
      const holds = signature?.claimed === signature?.compute(KEYS.secretAccessKey)
      response.writeHead(status === 200 && !holds ? 403 : status, {
        'content-type': 'application/json',
        ...(location === undefined ? {} : { location }),
      })
      response.end(JSON.stringify(callerDocument(CALLER)))
    })
    world = await startWorld(entry)
    const policy = policyOf(world)
    const roles = [`arn:aws:iam::${ACCOUNT}:role/agent`]
    const config = { accounts: [ACCOUNT], roles, regions: ['eu-central-1'], sts_endpoint: sts.url }
    const [binding] = policy.bindings
    await applyPolicy(world, {
      ...policy,
      auth_methods: [...policy.auth_methods, { name: 'aws', type: 'aws-iam', config }],
      bindings: [...policy.bindings, { ...binding, name: 'aws-crm', auth_method: 'aws' }],
    })
  })
  afterAll(async () => {
    await world.stop()
    await sts.close()
  })
  beforeEach(() => {
    sts.seen.length = 0
    answer = { status: 200 }
  })

  const sign = async (presigned: boolean, serverId = world.url) => {
    const signer = new AwsV4Signer({
      ...KEYS,
      method: presigned ? 'GET' : 'POST',
      url: presigned
        ? `${sts.url}/?${BODY}&X-Amz-Expires=${600 + Math.floor(Math.random() * 300)}`
        : `${sts.url}/`,
      headers: presigned
        ? { 'x-k8s-aws-id': serverId }
        : { 'x-sallyport-server-id': serverId, 'x-sallyport-nonce': crypto.randomUUID() },
      ...(presigned ? {} : { body: BODY }),
      service: 'sts',
      region: 'eu-central-1',
      signQuery: presigned,
    })
    const { url, headers } = await signer.sign()
    const lists = Object.fromEntries([...headers].map(([name, value]) => [name, [value]]))
    const envelope = presigned
      ? { presigned_url: String(url) }
      : { method: 'POST', url: `${sts.url}/`, headers: lists, body: BODY }
    return Buffer.from(JSON.stringify(envelope)).toString('base64url')
  }
  const exchange = (token: string) =>
    world.exchange({
      subject_token: token,
      subject_token_type: 'urn:sallyport:token-type:aws-sigv4',
    })

  test.each([false, true])(
    'AW-01 AW-05: opens a session once (presigned: %s)',
    async (presigned) => {
      const token = await sign(presigned)
      const granted = await exchange(token)
      expect(granted.status).toBe(200)
      const [seen] = sts.seen
      expect(seen?.headers['accept']).toBe('application/json')
      expect(seen?.headers).not.toHaveProperty('x-forwarded-for')
      expect((await exchange(token)).status).toBe(400)
    },
  )

  test('AW-08: what was signed for another broker never leaves', async () => {
    expect((await exchange(await sign(false, 'https://other.example'))).status).toBe(400)
    expect(sts.seen).toEqual([])
  })

  // The harness around workerd follows redirects itself; test/net/workerd.test.ts asks workerd alone.
  const followsNothing = entry === 'workerd' ? [] : [entry]
  test.each(followsNothing)('AW-10: a redirect of STS is followed nowhere on %s', async () => {
    const canary = await startPeer((_request, response) => response.end())
    try {
      answer = { status: 302, location: canary.url }
      expect((await exchange(await sign(false))).status).toBe(400)
      expect(canary.seen).toEqual([])
    } finally {
      await canary.close()
    }
  })

  test('AW-11: STS that refuses is a 400 like any other, STS that is down a 503', async () => {
    answer = { status: 403 }
    const refused = await exchange(await sign(false))
    const malformed = await exchange('x')
    expect([refused.status, malformed.status]).toEqual([400, 400])
    const bodies = [await refused.json(), await malformed.json()] as { decision_id: string }[]
    for (const body of bodies) body.decision_id = ''
    expect(bodies[0]).toEqual(bodies[1])
    answer = { status: 503 }
    const down = await exchange(await sign(false))
    expect(down.status).toBe(503)
    expect(Number(down.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await down.json()).toMatchObject({ error: 'temporarily_unavailable' })
  })
})
