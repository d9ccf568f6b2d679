// The external id of a deployment belongs to nobody but the broker: whoever knows its root could stand for
// any target towards a role that pins one. Names that begin with `sallyport-` are the broker's own.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createStsSdk } from '../../functions/aws/sts-sdk.ts'
import { type InProcess, startInProcess } from '../faults/in-process.ts'

const NAME = 'sallyport-external-id'
const CONFIG = { region: 'eu-central-1', role_arn: 'arn:aws:iam::123456789012:role/reader' }
const BODY = { value: 'mine', allowed_origins: ['https://crm.example'] }

let broker: InProcess
beforeEach(async () => {
  broker = await startInProcess({
    awsSdk: async () => ({
      createSts: createStsSdk,
      ambientKeys: () => () => Promise.reject(new Error('nothing is signed here')),
      loadSecrets: () => Promise.reject(new Error('no secrets of AWS here')),
    }),
    targets: [
      { name: 'lake', type: 'aws-sts', config: { ...CONFIG, assume_by: 'role' } },
      { name: 'pond', type: 'aws-sts', config: { ...CONFIG, assume_by: 'role' } },
      { name: 'sea', type: 'aws-sts', config: { ...CONFIG, assume_by: 'web_identity' } },
    ],
  })
})
afterEach(() => broker.app.close())

const shown = async (target: string) =>
  (await broker.admin('GET', `/targets/${target}`)).headers.get('sallyport-external-id')

test('SC-08 an administrator is shown the external id of a target beside the object, which goes back as it is', async () => {
  const id = await shown('lake')
  expect(id).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(await shown('lake')).toBe(id)
  expect(await shown('pond')).not.toBe(id)
  // Where no role is assumed by role there is none, nor has any other kind of target one.
  expect([await shown('sea'), await shown('crm')]).toEqual([null, null])
  const read = await broker.admin('GET', '/targets/lake')
  const put = await broker.admin('PUT', '/targets/lake', await read.json())
  expect(put.status).toBe(200)
  expect(put.headers.get('etag')).toBe(read.headers.get('etag'))
})

test('nobody reads, writes, lists, deletes or refers to what it is made of', async () => {
  await shown('lake')
  const [[sealed] = []] = await broker.sql(`SELECT sealed FROM secret WHERE name = '${NAME}'`)
  expect(typeof sealed).toBe('string')
  for (const name of [NAME, 'sallyport-another']) {
    const put = await broker.admin('PUT', `/secrets/${name}`, BODY)
    expect(put.status).toBe(422)
    expect(await put.json()).toMatchObject({ errors: [{ path: '/name', code: 'reserved' }] })
    expect((await broker.admin('GET', `/secrets/${name}`)).status).toBe(404)
    expect((await broker.admin('DELETE', `/secrets/${name}`)).status).toBe(404)
  }
  const listed = (await (await broker.admin('GET', '/secrets')).json()) as { items: unknown[] }
  expect(listed.items).toMatchObject([{ name: 'crm-key' }])
  const target = {
    type: 'http',
    config: { base_url: 'https://crm.example' },
    credential: { inject: 'bearer', secret: `sealed:${NAME}` },
  }
  expect((await broker.admin('PUT', '/targets/thief', target)).status).toBe(422)
  const rows = await broker.sql(`SELECT sealed FROM secret WHERE name = '${NAME}'`)
  expect(rows).toEqual([[sealed]])
})

test('another target of the same role has another external id', async () => {
  const id = await shown('lake')
  const moved = { type: 'aws-sts', config: { ...CONFIG, assume_by: 'role' } }
  await broker.admin('PUT', '/targets/thief', moved)
  expect(await shown('thief')).not.toBe(id)
  expect(await shown('lake')).toBe(id)
})
