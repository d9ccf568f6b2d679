// RB-06 over the wire, on every entry: one attestation opens one session, however many ask at once and
// whichever method they name; and what is no attestation of its kind gets the one refusal.
import { AwsV4Signer } from 'aws4fetch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  applyPolicy,
  ENTRIES,
  type Peer,
  policyOf,
  startPeer,
  startWorld,
  type World,
} from './world.ts'

const BODY = 'Action=GetCallerIdentity&Version=2011-06-15'
const ACCOUNT = '123456789012'
const CALLER = {
  GetCallerIdentityResponse: {
    GetCallerIdentityResult: {
      Account: ACCOUNT,
      Arn: `arn:aws:sts::${ACCOUNT}:assumed-role/agent/i-1`,
      UserId: 'AROAEXAMPLE000000000:i-1',
    },
  },
}
const TYPE = 'urn:sallyport:token-type:'

describe.each(ENTRIES)('an attestation on the %s entry', (entry) => {
  let world: World
  let sts: Peer
  beforeAll(async () => {
    sts = await startPeer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(CALLER))
    })
    world = await startWorld(entry)
    const policy = policyOf(world)
    const [ci] = policy.auth_methods
    const [binding] = policy.bindings
    const config = { accounts: [ACCOUNT], regions: ['eu-central-1'], sts_endpoint: sts.url }
    const names = ['aws-one', 'aws-two']
    await applyPolicy(world, {
      ...policy,
      auth_methods: [
        { ...ci, config: { ...ci?.config, single_use: true } },
        ...names.map((name) => ({ name, type: 'aws-iam', config })),
      ],
      bindings: [
        ...policy.bindings,
        ...names.map((name) => ({ ...binding, name: `${name}-crm`, auth_method: name })),
      ],
    })
  })
  afterAll(async () => {
    await world?.stop()
    await sts?.close()
  })

  async function signed(): Promise<string> {
    const { headers } = await new AwsV4Signer({
      method: 'POST',
      url: `${sts.url}/`,
      headers: { 'x-sallyport-server-id': world.url },
      body: BODY,
      service: 'sts',
      region: 'eu-central-1',
      accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
      secretAccessKey: 'secret',
    }).sign()
    const lists = Object.fromEntries([...headers].map(([name, value]) => [name, [value]]))
    const envelope = { method: 'POST', url: `${sts.url}/`, headers: lists, body: BODY }
    return Buffer.from(JSON.stringify(envelope)).toString('base64url')
  }

  /** Status and body of each, without what is its own; how often each occurred. */
  async function answers(forms: readonly Record<string, string>[]) {
    const seen: Record<string, number> = {}
    for (const answer of await Promise.all(forms.map((form) => world.exchange(form)))) {
      const text = (await answer.text()).replace(/dec_[\w-]+/, '')
      const key = answer.ok ? 'granted' : `${answer.status} ${text}`
      seen[key] = (seen[key] ?? 0) + 1
    }
    return seen
  }

  test('RB-06 AW-09 of 200 uses at once one opens a session, and the others look like any fault', async () => {
    const request = await signed()
    const token = await world.token({ jti: crypto.randomUUID() })
    const uses = (form: (i: number) => Record<string, string>) =>
      answers(Array.from({ length: 200 }, (_, i) => form(i)))
    const byTwoMethods = await uses((i) => ({
      subject_token: request,
      subject_token_type: `${TYPE}aws-sigv4`,
      auth_method: i % 2 === 0 ? 'aws-one' : 'aws-two',
    }))
    const byOne = await uses(() => ({ subject_token: token }))
    const opaque = { subject_token: 'x', subject_token_type: `${TYPE}oauth-opaque` }
    const faults = await answers([
      opaque,
      { ...opaque, auth_method: 'ci' },
      { ...opaque, auth_method: 'nobody' },
      { subject_token: 'tls', subject_token_type: `${TYPE}mtls` },
      { subject_token: token, subject_token_type: `${TYPE}aws-sigv4` },
      { subject_token: 'a.b.c' },
    ])
    const [refusal = ''] = Object.keys(faults)
    expect(faults).toEqual({ [refusal]: 6 })
    expect(byTwoMethods).toEqual({ granted: 1, [refusal]: 199 })
    expect(byOne).toEqual({ granted: 1, [refusal]: 199 })
  })
})
