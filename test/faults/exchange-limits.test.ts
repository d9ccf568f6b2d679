// A flood on the exchange path: what is shed costs no check, no call and no row each.
import { beforeEach, expect, test } from 'vitest'
import { type InProcess, CRM, startInProcess } from './in-process.ts'

const OPAQUE = 'urn:sallyport:token-type:oauth-opaque'
let broker: InProcess

beforeEach(async () => {
  broker = await startInProcess()
})

async function refusals(): Promise<number> {
  const [row] = await broker.sql("SELECT count(*) FROM audit_event WHERE type = 'refusal'")
  return Number(row?.[0])
}

test('DEP-10 a source beyond its rate gets 429 slow_down and Retry-After, and one event for all', async () => {
  const token = await broker.token({ exp: 1 })
  const answers: Response[] = []
  for (let i = 0; i < 260; i++) answers.push(await broker.exchange({ subject_token: token }))
  const shed = answers.filter(({ status }) => status === 429)
  expect(shed).toHaveLength(60)
  const [first] = shed
  expect(first?.headers.get('retry-after')).toBe('1')
  expect(first?.headers.get('cache-control')).toBe('no-store')
  expect(await first?.json()).toMatchObject({ error: 'slow_down' })
  expect(await refusals()).toBe(201)
  broker.clock.advance(1)
  expect((await broker.exchange()).status).toBe(200)
})

test('ADM-5 a header names no other source', async () => {
  const { app } = broker
  const send = (n: number) => {
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: 'a.b.c',
      audience: 'crm',
    })
    const headers = { 'x-forwarded-for': `198.51.100.${n}`, forwarded: `for=198.51.100.${n}` }
    const url = 'https://broker.example/token-exchange'
    const request = new Request(url, { method: 'POST', body, headers })
    return app.fetch(request, {
      rawTarget: '/token-exchange',
      // Another address of the same /64 each time.
      clientAddress: `2001:db8::${(n + 1).toString(16)}`,
      headerLines: [...request.headers],
    })
  }
  const statuses: number[] = []
  for (let n = 0; n < 205; n++) statuses.push((await send(n)).status)
  expect(statuses.filter((status) => status === 429)).toHaveLength(5)
})

test('forged opaque tokens reach the authority 60 times and no more; a shed one reaches nobody', async () => {
  const config = { userinfo_endpoint: `${CRM}/userinfo`, match: { hd: 'acme.example' } }
  const applied = await broker.admin('POST', '/policy/apply?prune=false', {
    auth_methods: [{ name: 'saas', type: 'oauth-introspection', config }],
    targets: [],
    bindings: [],
    intent_policies: [],
  })
  expect(applied.status, await applied.text()).toBe(200)
  const statuses: number[] = []
  for (let i = 0; i < 100; i++) {
    const answer = await broker.exchange({
      subject_token: `forged-${i}`,
      subject_token_type: OPAQUE,
      auth_method: 'saas',
    })
    statuses.push(answer.status)
  }
  expect(broker.reached).toHaveLength(60)
  expect(statuses.filter((status) => status === 429)).toHaveLength(40)
  expect(await refusals()).toBe(61)
  // Tokens that need nobody's word are not held up.
  expect((await broker.exchange()).status).toBe(200)
})
