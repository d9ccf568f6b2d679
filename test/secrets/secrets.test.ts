import { Console } from 'node:console'
import { inspect } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '../../functions/core/credential.ts'
import type { EventDraft } from '../../functions/core/audit.ts'
import { ok } from '../../functions/core/result.ts'
import { createSealer, type Sealer } from '../../functions/crypto/seal.ts'
import {
  createEnvSource,
  createSealedSource,
  createSecrets,
  parseEnvSecrets,
  resealSecrets,
  sealSecret,
} from '../../functions/secrets/index.ts'
import { type FakeSecretStore, fakeSecretStore } from '../fakes/secret-store.ts'

const CANARY = 'canary-7f3a9c51e2'
const CRM = 'https://crm.example'
const EVENT = {} as EventDraft // the fake does not look at it

const sealerOf = (fill: number, previous: number | null = null): Sealer =>
  createSealer({
    kek: new Uint8Array(32).fill(fill),
    kekPrevious: previous === null ? null : new Uint8Array(32).fill(previous),
  })

let store: FakeSecretStore
let nowMs: number
const clock = { nowSeconds: () => Math.floor(nowMs / 1000), nowMs: () => nowMs }
const sealer = sealerOf(1)

async function put(name: string, value: string, allowedOrigins = [CRM], by = sealer) {
  const sealed = await sealSecret(by, { name, value, allowedOrigins })
  await store.put({ name, sealed, allowedOrigins }, clock.nowSeconds(), EVENT)
}
const sealed = (by = sealer) => createSecrets([createSealedSource({ store, sealer: by, clock })])

beforeEach(() => {
  store = fakeSecretStore()
  nowMs = 1_800_000_000_000
})

describe('a secret (LEAK-2)', () => {
  const secret = new Secret(CANARY, [CRM])

  test('is not shown by inspect, JSON, String, templates, errors, clones or the console', () => {
    const error = new Error(`call with ${String(secret)} failed`, { cause: secret })
    const shown = [
      inspect(secret),
      inspect({ deep: { a: [secret] } }, { depth: null, showHidden: true, getters: true }),
      inspect(secret, { showHidden: true, customInspect: false, depth: null }),
      inspect(error, { depth: null, showHidden: true }),
      JSON.stringify({ secret, list: [secret] }),
      JSON.stringify(Object.getOwnPropertyDescriptors(secret)),
      JSON.stringify(Object.entries(secret)),
      String(secret),
      `${secret}`,
      `${error.stack}`,
      inspect(structuredClone({ ...secret })),
      inspect(new Map([[secret, secret]]), { depth: null }),
    ].join('\n')
    expect(shown).not.toContain(CANARY)
    expect(shown).toContain('[redacted]')
  })

  test('is not printed by console methods', () => {
    const written: string[] = []
    const streams = [process.stdout, process.stderr]
    const before = streams.map((stream) => stream.write)
    const capture = (chunk: string | Uint8Array) => {
      written.push(String(chunk))
      return true
    }
    const plain = new Console({
      stdout: process.stdout,
      stderr: process.stderr,
      colorMode: false,
    })
    try {
      for (const stream of streams) stream.write = capture
      plain.log(secret, { secret }, [secret], '%s %o %O %j', secret, secret, secret, secret)
      plain.error(secret)
      plain.dir(secret, { showHidden: true })
      plain.table([secret])
    } finally {
      streams.forEach((stream, i) => {
        const write = before[i]
        if (write !== undefined) stream.write = write
      })
    }
    expect(written.join('')).not.toContain(CANARY)
    expect(written.join('')).toContain('[redacted]')
  })

  test('is revealed for exactly its allowed origins', () => {
    expect(secret.revealFor(CRM)).toBe(CANARY)
    for (const other of [
      'https://crm.example.evil',
      'https://crm.example/',
      'https://crm.example:8443',
      'http://crm.example',
      'https://CRM.example',
      'https://x.crm.example',
      'null',
      '',
    ]) {
      expect(secret.revealFor(other), other).toBeNull()
    }
    expect(new Secret(CANARY, []).revealFor(CRM)).toBeNull()
  })
})

describe('sealed secrets', () => {
  test('open to their value, with the origins they were stored with', async () => {
    await put('crm-token', CANARY)
    const result = await sealed().resolve('sealed:crm-token')
    expect(result.ok && result.value.revealFor(CRM)).toBe(CANARY)
    expect(await sealed().allowedOrigins('sealed:crm-token')).toEqual(ok([CRM]))
    expect(JSON.stringify([...store.rows])).not.toContain(CANARY)
  })

  test('whoever can write to the store can neither swap two secrets nor widen their origins', async () => {
    await put('cheap', 'cheap value', ['https://evil.example'])
    await put('crm-token', CANARY)
    const crm = store.rows.get('crm-token')
    const cheap = store.rows.get('cheap')
    if (crm === undefined || cheap === undefined) throw new Error('rows are missing')
    const unreadable = { ok: false, failure: { reason: 'unreadable', reference: 'sealed:cheap' } }

    store.rows.set('cheap', { ...cheap, sealed: crm.sealed })
    expect(await sealed().resolve('sealed:cheap')).toEqual(unreadable)
    store.rows.set('cheap', { ...crm })
    expect(await sealed().resolve('sealed:cheap')).toEqual(unreadable)
    store.rows.set('cheap', { ...crm, name: 'cheap' })
    expect(await sealed().resolve('sealed:cheap')).toEqual(unreadable)

    for (const allowedOrigins of [['https://evil.example'], [CRM, 'https://evil.example'], []]) {
      store.rows.set('crm-token', { ...crm, allowedOrigins })
      expect((await sealed().resolve('sealed:crm-token')).ok).toBe(false)
    }
  })

  test('a replaced or deleted secret is out of use within one second', async () => {
    await put('crm-token', 'old')
    const secrets = sealed()
    const value = async () => {
      const result = await secrets.resolve('sealed:crm-token')
      return result.ok ? result.value.revealFor(CRM) : result.failure.reason
    }
    expect(await value()).toBe('old')
    await put('crm-token', 'new')
    nowMs += 1000
    expect(await value()).toBe('new')
    store.rows.delete('crm-token')
    nowMs += 1000
    expect(await value()).toBe('not_found')
  })

  test('cost one read a second, however many actions use them', async () => {
    await put('crm-token', CANARY)
    const secrets = sealed()
    for (let i = 0; i < 100; i++, nowMs += 9) await secrets.resolve('sealed:crm-token')
    expect(store.reads).toBe(1)
  })

  test('that is missing is looked for each time, so that it works as soon as it is there', async () => {
    const secrets = sealed()
    expect((await secrets.resolve('sealed:crm-token')).ok).toBe(false)
    await put('crm-token', CANARY)
    expect((await secrets.resolve('sealed:crm-token')).ok).toBe(true)
  })

  test('names that are none are not asked of the store', async () => {
    for (const name of ['', 'A', '../x', 'a b', 'a'.repeat(64), '-a', 'crm_token', 'sealed:a']) {
      const result = await sealed().resolve(`sealed:${name}`)
      expect(result).toMatchObject({ ok: false, failure: { reason: 'not_found' } })
    }
    expect(store.reads).toBe(0)
  })

  test('a store that does not answer is thrown, not taken for a missing secret', async () => {
    store.get = () => Promise.reject(new Error('down'))
    await expect(sealed().resolve('sealed:crm-token')).rejects.toThrow('down')
  })

  test('after a KEK rotation all are sealed under the new KEK, and read all the while', async () => {
    for (let i = 0; i < 205; i++) await put(`s-${i}`, `${CANARY}-${i}`)
    const rotated = sealerOf(2, 1)
    expect((await sealed(rotated).resolve('sealed:s-7')).ok).toBe(true)
    expect(await resealSecrets({ store, sealer: rotated })).toBe(205)
    expect(await resealSecrets({ store, sealer: rotated })).toBe(0)
    const result = await sealed(sealerOf(2)).resolve('sealed:s-204')
    expect(result.ok && result.value.revealFor(CRM)).toBe(`${CANARY}-204`)
  })
})

describe('environment secrets', () => {
  const env = (name: string) =>
    ({ CRM_KEY: CANARY, EMPTY: '', OTHER: 'other', SALLYPORT_KEK: 'kek' })[name]
  const source = (list: string) =>
    createSecrets([createEnvSource({ secrets: parseEnvSecrets(list).secrets, env })])

  test('only listed names are read, each for its listed origins', async () => {
    const secrets = source(`CRM_KEY@${CRM}@https://eu.crm.example,EMPTY@${CRM},GONE@${CRM}`)
    const result = await secrets.resolve('env:CRM_KEY')
    expect(result.ok && result.value.revealFor(CRM)).toBe(CANARY)
    expect(result.ok && result.value.revealFor('https://eu.crm.example')).toBe(CANARY)
    expect(result.ok && result.value.revealFor('https://evil.example')).toBeNull()
    for (const [reference, reason] of [
      ['env:OTHER', 'not_allowed'],
      ['env:crm_key', 'not_allowed'],
      ['env:SALLYPORT_KEK', 'not_allowed'],
      ['env:constructor', 'not_allowed'],
      ['env:', 'not_allowed'],
      ['env:EMPTY', 'not_found'],
      ['env:GONE', 'not_found'],
    ] as const) {
      const failure = { reason, reference }
      expect(await secrets.resolve(reference)).toEqual({ ok: false, failure })
    }
  })

  test('a name without origins goes where the target that names it goes', async () => {
    const secrets = source('CRM_KEY')
    expect(await secrets.allowedOrigins('env:CRM_KEY')).toEqual(ok('any'))
    const result = await secrets.resolve('env:CRM_KEY')
    expect(result.ok && result.value.revealFor(CRM)).toBe(CANARY)
  })

  test('the list never names a setting of the broker, or a name twice', () => {
    const { secrets, mistakes } = parseEnvSecrets(
      [
        `CRM_KEY@${CRM}`,
        `SALLYPORT_KEK@${CRM}`,
        `database_auth_token@${CRM}`,
        `CRM_KEY@${CRM}`,
        `A-B@${CRM}`,
        `SLASH@${CRM}/`,
        `PATH_@${CRM}/v1`,
        'FTP@ftp://crm.example',
        'WILD@https://*',
        `USER@https://u:p@crm.example`,
        '',
      ].join(','),
    )
    expect(secrets.map((secret) => secret.name)).toEqual(['CRM_KEY'])
    expect(mistakes.map((mistake) => mistake.entry)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })
})

test('a reference of an unknown scheme, or of none, is not found', async () => {
  const secrets = createSecrets([createSealedSource({ store, sealer, clock })])
  for (const reference of ['vault:x', 'env:X', 'crm-token', '', ':', 'SEALED:crm-token']) {
    const failure = { reason: 'not_found', reference }
    expect(await secrets.resolve(reference)).toEqual({ ok: false, failure })
    expect(await secrets.allowedOrigins(reference)).toEqual({ ok: false, failure })
  }
})
