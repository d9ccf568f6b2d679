// Settings: every mistake at once, by name, and nothing unsafe is taken for granted.
import { expect, test } from 'vitest'
import { databaseFilePath, readConfig } from '../functions/config.ts'
import type { Config, SettingError } from '../functions/config.ts'
import type { RuntimeName } from '../functions/platform.ts'

const KEK = Buffer.alloc(32, 1).toString('base64url')
const generateKek = () => new Uint8Array(32).fill(9)

function read(env: Readonly<Record<string, string>>, runtime: RuntimeName = 'node') {
  return readConfig((name) => env[name], {
    runtime,
    ...(runtime === 'node' ? { generateKek } : {}),
  })
}

function configOf(env: Readonly<Record<string, string>>, runtime: RuntimeName = 'node'): Config {
  const result = read(env, runtime)
  if (!result.ok) throw new Error(JSON.stringify(result.failure))
  return result.value
}

function refusedSettings(env: Readonly<Record<string, string>>, runtime: RuntimeName = 'node') {
  const result = read(env, runtime)
  return result.ok ? [] : result.failure.map(({ setting }: SettingError) => setting)
}

test('Node starts with no setting at all', () => {
  expect(configOf({})).toEqual({
    issuer: 'http://127.0.0.1:8787',
    port: 8787,
    databaseUrl: 'file:.sallyport/sallyport.db',
    kek: generateKek(),
    kekPrevious: null,
    adminToken: null,
    envSecrets: [],
    awsRoleArn: null,
    awsRegion: null,
    policyFile: null,
    allowInsecureLoopback: false,
    exchangeRates: { perSource: 600, perMethod: 600_000 },
    requiresProofNonce: false,
    maxDelegationDepth: 4,
    logLevel: 'info',
  })
})

test('the default issuer follows the port', () => {
  expect(configOf({ PORT: '9000' }).issuer).toBe('http://127.0.0.1:9000')
})

test('SALLYPORT_DPOP_NONCE demands a nonce of every proof', () => {
  expect(configOf({ SALLYPORT_DPOP_NONCE: '1' }).requiresProofNonce).toBe(true)
  expect(refusedSettings({ SALLYPORT_DPOP_NONCE: 'true' })).toEqual(['SALLYPORT_DPOP_NONCE'])
})

test('AC-06: SALLYPORT_MAX_DELEGATION_DEPTH is a number from 1 to 16', () => {
  expect(configOf({ SALLYPORT_MAX_DELEGATION_DEPTH: '16' }).maxDelegationDepth).toBe(16)
  for (const depth of ['0', '17', '-1', '1.5', 'deep', '160']) {
    const refused = refusedSettings({ SALLYPORT_MAX_DELEGATION_DEPTH: depth })
    expect(refused).toEqual(['SALLYPORT_MAX_DELEGATION_DEPTH'])
  }
})

test('an empty setting is an absent one', () => {
  expect(configOf({ PORT: '', SALLYPORT_ISSUER: '', SALLYPORT_ADMIN_TOKEN: '' }).port).toBe(8787)
})

test('every bad setting is reported at once', () => {
  const settings = refusedSettings({
    PORT: '0',
    SALLYPORT_ISSUER: 'broker.example',
    DATABASE_URL: 'mysql://db',
    SALLYPORT_KEK: 'short',
    SALLYPORT_KEK_PREVIOUS: 'short',
    SALLYPORT_ADMIN_TOKEN: 'with a space',
    SALLYPORT_ENV_SECRETS: 'A B',
    SALLYPORT_ALLOW_INSECURE_LOOPBACK: 'yes',
    SALLYPORT_EXCHANGE_PER_MINUTE: '-1',
    SALLYPORT_METHOD_PER_MINUTE: 'many',
    SALLYPORT_MAX_DELEGATION_DEPTH: '17',
    LOG_LEVEL: 'loud',
  })
  expect(settings.toSorted()).toEqual([
    'DATABASE_URL',
    'LOG_LEVEL',
    'PORT',
    'SALLYPORT_ADMIN_TOKEN',
    'SALLYPORT_ALLOW_INSECURE_LOOPBACK',
    'SALLYPORT_ENV_SECRETS',
    'SALLYPORT_EXCHANGE_PER_MINUTE',
    'SALLYPORT_ISSUER',
    'SALLYPORT_KEK',
    'SALLYPORT_KEK_PREVIOUS',
    'SALLYPORT_MAX_DELEGATION_DEPTH',
    'SALLYPORT_METHOD_PER_MINUTE',
  ])
})

test('a report never repeats a secret', () => {
  const secret = 'not-a-kek-but-secret'
  const env = { SALLYPORT_KEK: secret, SALLYPORT_ADMIN_TOKEN: `${secret} x` }
  expect(JSON.stringify(read(env))).not.toContain(secret)
})

test.each([
  'https://broker.example/',
  'https://broker.example/path',
  'https://broker.example?x=1',
  'https://user@broker.example',
  'https://BROKER.example',
  'https://broker.example:443',
  'http://broker.example',
  'http://127.0.0.1.evil.example',
  'ftp://broker.example',
  'https://',
])('the issuer %s is refused', (issuer) => {
  expect(refusedSettings({ SALLYPORT_ISSUER: issuer })).toEqual(['SALLYPORT_ISSUER'])
})

test.each([
  'https://broker.example',
  'https://broker.example:8443',
  'http://127.0.0.1:8787',
  'http://[::1]:1',
  'http://localhost:3000',
])('the issuer %s is taken', (issuer) => {
  expect(configOf({ SALLYPORT_ISSUER: issuer }).issuer).toBe(issuer)
})

test.each(['workerd', 'lambda'] as const)(
  '%s refuses to guess issuer, store and key',
  (runtime) => {
    expect(refusedSettings({}, runtime).toSorted()).toEqual([
      'DATABASE_URL',
      'SALLYPORT_ISSUER',
      'SALLYPORT_KEK',
    ])
  },
)

test('a key is made for an embedded file only', () => {
  expect(refusedSettings({ DATABASE_URL: 'libsql://db.example' })).toEqual(['SALLYPORT_KEK'])
  expect(configOf({ DATABASE_URL: 'libsql://db.example', SALLYPORT_KEK: KEK }).kek[0]).toBe(1)
})

test.each([
  KEK.slice(1),
  `${KEK}A`,
  `${KEK}=`,
  Buffer.alloc(31).toString('base64url'),
  // The same key in a second spelling: unused bits of the last character set.
  `${KEK.slice(0, -1)}F`,
  '+'.repeat(43),
])('the key %s is refused', (kek) => {
  expect(refusedSettings({ SALLYPORT_KEK: kek })).toEqual(['SALLYPORT_KEK'])
})

test('a previous key has to be another one', () => {
  expect(refusedSettings({ SALLYPORT_KEK: KEK, SALLYPORT_KEK_PREVIOUS: KEK })).toEqual([
    'SALLYPORT_KEK_PREVIOUS',
  ])
})

test.each([
  'http://db.example',
  'libsql://user:pass@db.example',
  'libsql://db.example?authToken=x',
  'file:',
  'file::memory:',
  'file:x.db?mode=ro',
  'd1:DB',
  'postgres://db',
])('the store %s is refused on Node', (url) => {
  expect(refusedSettings({ DATABASE_URL: url, SALLYPORT_KEK: KEK })).toEqual(['DATABASE_URL'])
})

test.each([
  ['workerd', 'file:x.db'],
  ['lambda', 'file:x.db'],
  ['lambda', 'd1:DB'],
] as const)('%s refuses the store %s', (runtime, url) => {
  const env = { DATABASE_URL: url, SALLYPORT_KEK: KEK, SALLYPORT_ISSUER: 'https://b.example' }
  expect(refusedSettings(env, runtime)).toEqual(['DATABASE_URL'])
})

test.each([
  ['file:.sallyport/x.db', '.sallyport/x.db'],
  ['file:/var/x.db', '/var/x.db'],
  ['file:///var/x.db', '/var/x.db'],
  ['file://localhost/var/x.db', '/var/x.db'],
  ['libsql://db', null],
])('the file of %s is %s', (url, path) => {
  expect(databaseFilePath(url)).toBe(path)
})

test("no secret reference may name the broker's own settings", () => {
  for (const name of ['SALLYPORT_KEK', 'SALLYPORT_ADMIN_TOKEN', 'DATABASE_AUTH_TOKEN']) {
    expect(refusedSettings({ SALLYPORT_ENV_SECRETS: `${name}@https://crm.example` })).toEqual([
      'SALLYPORT_ENV_SECRETS',
    ])
  }
})

test('a secret of the environment says where it may be sent', () => {
  const listed = 'CRM_TOKEN@https://crm.example, OTHER@https://a.example@https://b.example'
  expect(configOf({ SALLYPORT_ENV_SECRETS: listed }).envSecrets).toEqual([
    { name: 'CRM_TOKEN', allowedOrigins: ['https://crm.example'] },
    { name: 'OTHER', allowedOrigins: ['https://a.example', 'https://b.example'] },
  ])
  expect(configOf({ SALLYPORT_ENV_SECRETS: 'CRM_TOKEN' }).envSecrets).toEqual([
    { name: 'CRM_TOKEN', allowedOrigins: null },
  ])
})

test('a mistake while the key is made is reported as a setting', () => {
  const result = readConfig(() => undefined, {
    runtime: 'node',
    generateKek: () => {
      throw new Error('x.db exists without its key')
    },
  })
  expect(result).toEqual({
    ok: false,
    failure: [{ setting: 'SALLYPORT_KEK', message: 'x.db exists without its key' }],
  })
})

test('TLS takes a certificate and its key, and then the issuer is https', () => {
  const tls = { SALLYPORT_TLS_CERT: 'c.pem', SALLYPORT_TLS_KEY: 'k.pem' }
  expect(configOf(tls)).toMatchObject({
    issuer: 'https://127.0.0.1:8787',
    tls: { certFile: 'c.pem', keyFile: 'k.pem' },
  })
  expect(refusedSettings({ ...tls, SALLYPORT_ISSUER: 'http://127.0.0.1:8787' })).toEqual([
    'SALLYPORT_ISSUER',
  ])
  expect(refusedSettings({ SALLYPORT_TLS_CERT: 'c.pem' })).toEqual(['SALLYPORT_TLS_KEY'])
  expect(refusedSettings({ SALLYPORT_TLS_KEY: 'k.pem' })).toEqual(['SALLYPORT_TLS_CERT'])
})

test.each(['workerd', 'lambda'] as const)('TLS files are for Node alone, not %s', (runtime) => {
  const env = {
    SALLYPORT_ISSUER: 'https://broker.example',
    DATABASE_URL: 'libsql://db.example',
    SALLYPORT_KEK: KEK,
    SALLYPORT_TLS_CERT: 'c.pem',
    SALLYPORT_TLS_KEY: 'k.pem',
  }
  expect(refusedSettings(env, runtime)).toEqual(['SALLYPORT_TLS_CERT'])
})
