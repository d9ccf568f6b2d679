// RB-15, ER-09: what is wrong with a token, with its method or with its keys cannot be told from the
// answer: status, headers and body are the same but for `decision_id`.
import { expect, test } from 'vitest'
import { IDP, startInProcess } from '../faults/in-process.ts'

test('every fault of a token has one answer', async () => {
  const broker = await startInProcess()
  const good = await broker.token()
  const now = broker.clock.nowSeconds()
  const payload = { iss: IDP, sub: 'a', aud: 'sallyport', iat: now, exp: now + 60, team: 'support' }
  const signed = (header: object, text = JSON.stringify(payload)) =>
    broker.keys.sign(text, JSON.stringify({ alg: 'ES256', kid: 'ES256-key', ...header }))
  const faulty: readonly string[] = [
    'x',
    'a.b.c.d.e',
    `${good.slice(0, -6)}AAAAAA`,
    `${good}=`,
    await broker.handle(),
    await broker.token({ iat: 1, exp: 2 }),
    await broker.token({ exp: now + 60.5e9 }),
    await broker.token({ iss: 'https://unknown.example' }),
    await broker.token({ iss: '__proto__' }),
    await broker.token({ iss: [IDP] }),
    await broker.token({ aud: 'other' }),
    await broker.token({ aud: ['sallyport', 'other'] }),
    await broker.token({ aud: [['sallyport']] }),
    await broker.token({ aud: {} }),
    await broker.token({ team: 'other' }),
    await broker.token({ cnf: { jkt: 'x' } }),
    await broker.token({ events: {} }),
    await broker.token({ act: { sub: 'a', act: { sub: 1 } } }),
    await broker.token({ sub: 'a\u202eb\u0007' }),
    await signed({ kid: '__proto__' }),
    await signed({ kid: 7 }),
    await signed({ alg: 'none' }),
    await signed({ alg: 'HS256' }),
    await signed({ crit: ['exp'] }),
    await signed({ jku: 'https://evil.example' }),
    await signed({ typ: 'at+jwt' }),
    await signed({}, `{"iss":"${IDP}","iss":"${IDP}"}`),
    await signed({}, JSON.stringify(payload).replace('"sub":"a"', '"sub":"a","sub":"b"')),
  ]
  const answers = new Set<string>()
  for (const subject_token of faulty) {
    const response = await broker.exchange({ subject_token })
    const body = (await response.text()).replace(/dec_[\w-]+/, '')
    answers.add(JSON.stringify([response.status, [...response.headers], body]))
  }
  expect([...answers]).toHaveLength(1)
  expect([...answers][0]).toContain('invalid_request')
  expect(broker.reached).toEqual([])
  expect((await broker.exchange({ subject_token: good })).status).toBe(200)
})

test('ER-04: an unknown target, one without a binding and one that is denied have one answer', async () => {
  const broker = await startInProcess()
  const answers = new Set<string>()
  for (const audience of ['nowhere', 'sallyport-admin', '__proto__', 'constructor', 'CRM']) {
    const response = await broker.exchange({ audience })
    answers.add(`${response.status} ${(await response.text()).replace(/dec_[\w-]+/, '')}`)
  }
  expect([...answers]).toHaveLength(1)
})

test('ER-04: the names of targets cannot be told from public metadata', async () => {
  const broker = await startInProcess()
  const about = async (name: string) => {
    const response = await broker.fetch(`/.well-known/oauth-protected-resource/t/${name}`)
    return { status: response.status, text: (await response.text()).replaceAll(name, '{name}') }
  }
  const known = await about('crm')
  expect(known.status).toBe(200)
  expect(await about('no-such-target')).toEqual(known)
  expect(await about('sallyport-admin')).toEqual(known)
  for (const name of ['Crm', '-crm', 'crm/x', 'a'.repeat(64)]) {
    expect((await about(name)).status).toBe(404)
  }
})
