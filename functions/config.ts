// The environment, parsed once into a Config that cannot be wrong. Every bad setting is reported at the
// same time, by name, with the way to mend it; a message never repeats the value of a secret.
import { DEFAULT_RATES, type ExchangeRates } from './core/exchange-limits.ts'
import { DEFAULT_DELEGATION_DEPTH, MAX_DELEGATION_DEPTH } from './core/lineage.ts'
import { fail, ok } from './core/result.ts'
import type { Result } from './core/result.ts'
import type { RuntimeName } from './platform.ts'
import { type EnvSecret, parseEnvSecrets } from './secrets/env.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type Config = {
  /** Origin of the broker: the `iss` of every handle. Never taken from `Host`. */
  readonly issuer: string
  readonly port: number
  /** `file:…` (Node), `libsql://`, `https://`, loopback `http://`, or `d1:BINDING` (Workers). */
  readonly databaseUrl: string
  readonly databaseAuthToken?: string
  /** Key-encryption key: seals secrets and signing keys in the store. */
  readonly kek: Uint8Array
  readonly kekPrevious: Uint8Array | null
  readonly adminToken: string | null
  /** Environment variables that a secret reference `env:NAME` may name, and where each may be sent. */
  readonly envSecrets: readonly EnvSecret[]
  /** Role that the broker assumes for itself to read secrets of AWS; null: it runs with credentials of its own. */
  readonly awsRoleArn: string | null
  /** Of secrets that are named without one; AWS's own setting, as its SDKs read it. */
  readonly awsRegion: string | null
  readonly policyFile: string | null
  readonly allowInsecureLoopback: boolean
  /** Files of the certificate chain and key that the Node server ends TLS with; absent: something in front does. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
  readonly exchangeRates: ExchangeRates
  /** Refuses DPoP proofs that carry no nonce of this broker (RFC 9449 §8). */
  readonly requiresProofNonce: boolean
  /** Generations of sub-agents below a session that has no parent. */
  readonly maxDelegationDepth: number
  readonly logLevel: LogLevel
}

export type SettingError = { readonly setting: string; readonly message: string }

export type ConfigDefaults = {
  readonly runtime: RuntimeName
  /** Finds or makes the key beside an embedded database file; throws an Error that says what to mend. */
  readonly generateKek?: (databasePath: string) => Uint8Array
}

const DEFAULT_PORT = 8787
const DEFAULT_DATABASE_URL = 'file:.sallyport/sallyport.db'
/** Stands where a refused setting leaves no key; a Config with it is never handed out. */
const NO_KEY = new Uint8Array(0)
const KEK_HINT =
  'set it to 32 random bytes in base64url, e.g. from: node -p "crypto.randomBytes(32).toString(\'base64url\')"'

/** Reads every setting; either all of them hold or all mistakes come back. */
export function readConfig(
  env: (name: string) => string | undefined,
  defaults: ConfigDefaults,
): Result<Config, readonly SettingError[]> {
  const settings = new Settings(env)
  const port = readPort(settings)
  const tls = readTls(settings, defaults.runtime)
  const databaseUrl = readDatabaseUrl(settings, defaults.runtime)
  const databaseAuthToken = settings.text('DATABASE_AUTH_TOKEN')
  const kek = readKek(settings, databaseUrl, defaults)
  const config: Config = {
    issuer: readIssuer(settings, { port, runtime: defaults.runtime, endsTls: tls !== null }),
    port,
    databaseUrl,
    ...(databaseAuthToken === null ? {} : { databaseAuthToken }),
    kek,
    kekPrevious: readPreviousKek(settings, kek),
    adminToken: readAdminToken(settings),
    envSecrets: readEnvSecrets(settings),
    awsRoleArn: readAwsRole(settings),
    awsRegion: settings.text('AWS_REGION') ?? settings.text('AWS_DEFAULT_REGION'),
    policyFile: readPolicyFile(settings, defaults.runtime),
    allowInsecureLoopback: readSwitch(settings, 'SALLYPORT_ALLOW_INSECURE_LOOPBACK'),
    ...(tls === null ? {} : { tls }),
    exchangeRates: {
      perSource: readRate(settings, 'SALLYPORT_EXCHANGE_PER_MINUTE', DEFAULT_RATES.perSource),
      perMethod: readRate(settings, 'SALLYPORT_METHOD_PER_MINUTE', DEFAULT_RATES.perMethod),
    },
    requiresProofNonce: readSwitch(settings, 'SALLYPORT_DPOP_NONCE'),
    maxDelegationDepth: readDelegationDepth(settings),
    logLevel: readLogLevel(settings),
  }
  return settings.errors.length === 0 ? ok(config) : fail(settings.errors)
}

/** The path of an embedded database (`file:` URL), or null for any other store. */
export function databaseFilePath(databaseUrl: string): string | null {
  if (!databaseUrl.startsWith('file:')) return null
  const rest = databaseUrl.slice('file:'.length)
  return rest.startsWith('//') ? rest.replace(/^\/\/(localhost)?(?=\/)/, '') : rest
}

/** Collects the mistakes while the settings are read one by one. */
class Settings {
  readonly errors: SettingError[] = []
  readonly #env: (name: string) => string | undefined

  constructor(env: (name: string) => string | undefined) {
    this.#env = env
  }

  /** An empty variable counts as absent: that is how most deployment tools say "unset". */
  text(name: string): string | null {
    const value = this.#env(name)
    return value === undefined || value === '' ? null : value
  }

  refuse(setting: string, message: string): void {
    this.errors.push({ setting, message })
  }
}

function readPort(settings: Settings): number {
  const text = settings.text('PORT')
  if (text === null) return DEFAULT_PORT
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port >= 1 && port <= 65_535) return port
  settings.refuse('PORT', 'must be a whole number from 1 to 65535')
  return DEFAULT_PORT
}

type Listening = {
  readonly port: number
  readonly runtime: RuntimeName
  readonly endsTls: boolean
}

function readIssuer(settings: Settings, { port, runtime, endsTls }: Listening): string {
  const fallback = `${endsTls ? 'https' : 'http'}://127.0.0.1:${port}`
  const text = settings.text('SALLYPORT_ISSUER')
  if (text === null) {
    // Only Node knows the address it is reached at; elsewhere a guess would end up in signed tokens.
    if (runtime !== 'node') {
      settings.refuse('SALLYPORT_ISSUER', 'is required here: the public origin, https://HOST')
    }
    return fallback
  }
  const url = parseUrl(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    settings.refuse('SALLYPORT_ISSUER', 'must be an origin such as https://broker.example')
  } else if (url.origin !== text) {
    settings.refuse(
      'SALLYPORT_ISSUER',
      `must be an origin only, without path, query, credentials or trailing slash: ${url.origin}`,
    )
  } else if (url.protocol === 'http:' && (endsTls || !isLoopbackHost(url.hostname))) {
    const where = endsTls ? 'SALLYPORT_TLS_CERT is set' : 'plain http is for loopback only'
    settings.refuse('SALLYPORT_ISSUER', `must be https; ${where}`)
  }
  return text
}

function readDatabaseUrl(settings: Settings, runtime: RuntimeName): string {
  const text = settings.text('DATABASE_URL')
  if (text === null) {
    if (runtime === 'node') return DEFAULT_DATABASE_URL
    const orBinding = runtime === 'workerd' ? ', or bind a D1 database as DB' : ''
    settings.refuse('DATABASE_URL', `is required here: libsql://HOST or https://HOST${orBinding}`)
    return DEFAULT_DATABASE_URL
  }
  const mistake = databaseUrlMistake(text, runtime)
  if (mistake !== null) settings.refuse('DATABASE_URL', mistake)
  return text
}

function databaseUrlMistake(text: string, runtime: RuntimeName): string | null {
  if (text.startsWith('d1:')) {
    return runtime === 'workerd' ? null : 'd1: is a binding of Cloudflare Workers; use libsql://'
  }
  if (text.startsWith('file:')) return databaseFileMistake(text, runtime)
  const url = parseUrl(text)
  if (url === null || !['libsql:', 'https:', 'http:'].includes(url.protocol)) {
    return 'must be file:PATH, libsql://HOST or https://HOST'
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return 'must not hold credentials or a query: put the token into DATABASE_AUTH_TOKEN'
  }
  // Whoever sits on the way could rewrite grants and read the token.
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    return 'must be libsql:// or https://; plain http is for loopback only'
  }
  return null
}

function databaseFileMistake(text: string, runtime: RuntimeName): string | null {
  if (runtime === 'workerd') return 'Workers have no files: use libsql://HOST, or bind D1 as DB'
  if (runtime === 'lambda') return 'Lambda forgets its files: use libsql://HOST or https://HOST'
  const path = databaseFilePath(text) ?? ''
  if (path === '' || path.includes('?') || path.includes(':memory:')) {
    return 'must be file:PATH, a path without a query; an in-memory store would forget its log'
  }
  return null
}

function readKek(settings: Settings, databaseUrl: string, defaults: ConfigDefaults): Uint8Array {
  const text = settings.text('SALLYPORT_KEK')
  if (text !== null) return parseKek(settings, 'SALLYPORT_KEK', text) ?? NO_KEY
  const path = databaseFilePath(databaseUrl)
  if (path === null || defaults.generateKek === undefined) {
    settings.refuse('SALLYPORT_KEK', `is required here: ${KEK_HINT}`)
    return NO_KEY
  }
  try {
    return defaults.generateKek(path)
  } catch (error) {
    settings.refuse('SALLYPORT_KEK', error instanceof Error ? error.message : 'cannot be made')
    return NO_KEY
  }
}

function readPreviousKek(settings: Settings, kek: Uint8Array): Uint8Array | null {
  const text = settings.text('SALLYPORT_KEK_PREVIOUS')
  if (text === null) return null
  const previous = parseKek(settings, 'SALLYPORT_KEK_PREVIOUS', text)
  if (previous !== null && previous.every((byte, index) => byte === kek[index])) {
    settings.refuse('SALLYPORT_KEK_PREVIOUS', 'is the same as SALLYPORT_KEK: remove it')
  }
  return previous
}

function parseKek(settings: Settings, name: string, text: string): Uint8Array | null {
  const bytes = parseKekText(text)
  if (bytes === null) {
    settings.refuse(name, `must be exactly 32 bytes in base64url without padding: ${KEK_HINT}`)
  }
  return bytes
}

/** 32 bytes from canonical base64url without padding, or null. */
export function parseKekText(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]{43}$/.test(text)) return null
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0))
  // The last character carries two unused bits; only one spelling of a key is a key.
  const canonical = btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace('=', '')
  return canonical === text ? bytes : null
}

function readAdminToken(settings: Settings): string | null {
  const text = settings.text('SALLYPORT_ADMIN_TOKEN')
  if (text === null) return null
  // token68 (RFC 9110 §11.2): anything else could not be sent in `Authorization: Bearer`. A short one
  // works and is warned of (`sallyport doctor`): it is for the first set-up only.
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(text)) {
    settings.refuse('SALLYPORT_ADMIN_TOKEN', 'may only have the characters A-Z a-z 0-9 . _ ~ + / -')
  }
  return text
}

function readEnvSecrets(settings: Settings): readonly EnvSecret[] {
  const text = settings.text('SALLYPORT_ENV_SECRETS')
  if (text === null) return []
  const { secrets, mistakes } = parseEnvSecrets(text)
  for (const { entry, message } of mistakes) {
    settings.refuse('SALLYPORT_ENV_SECRETS', `entry ${entry} ${message}`)
  }
  return secrets
}

function readAwsRole(settings: Settings): string | null {
  const name = 'SALLYPORT_AWS_ROLE_ARN'
  const text = settings.text(name)
  if (text !== null && !/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/.test(text)) {
    settings.refuse(name, 'must be the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME')
  }
  return text
}

function readPolicyFile(settings: Settings, runtime: RuntimeName): string | null {
  const text = settings.text('SALLYPORT_POLICY')
  if (text !== null && runtime !== 'node') {
    settings.refuse(
      'SALLYPORT_POLICY',
      'is for the Node server: apply the policy over the API here',
    )
  }
  return text
}

function readTls(settings: Settings, runtime: RuntimeName): NonNullable<Config['tls']> | null {
  const certFile = settings.text('SALLYPORT_TLS_CERT')
  const keyFile = settings.text('SALLYPORT_TLS_KEY')
  if (certFile === null && keyFile === null) return null
  if (runtime !== 'node') {
    settings.refuse('SALLYPORT_TLS_CERT', 'is for the Node server: the platform ends TLS here')
  }
  if (certFile !== null && keyFile !== null) return { certFile, keyFile }
  const missing = certFile === null ? 'SALLYPORT_TLS_CERT' : 'SALLYPORT_TLS_KEY'
  settings.refuse(missing, 'is required: certificate and key are two PEM files')
  return null
}

function readSwitch(settings: Settings, name: string): boolean {
  const text = settings.text(name)
  if (text === null || text === '0') return false
  if (text !== '1') settings.refuse(name, 'must be 1 or 0')
  return text === '1'
}

function readRate(settings: Settings, name: string, absent: number): number {
  const text = settings.text(name)
  if (text === null) return absent
  if (!/^\d{1,9}$/.test(text)) settings.refuse(name, 'must be a whole number; 0 is no limit')
  return Number(text)
}

function readDelegationDepth(settings: Settings): number {
  const name = 'SALLYPORT_MAX_DELEGATION_DEPTH'
  const text = settings.text(name)
  if (text === null) return DEFAULT_DELEGATION_DEPTH
  const depth = /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (depth < 1 || depth > MAX_DELEGATION_DEPTH) {
    settings.refuse(name, `must be a whole number from 1 to ${MAX_DELEGATION_DEPTH}`)
  }
  return depth
}

function readLogLevel(settings: Settings): LogLevel {
  const text = settings.text('LOG_LEVEL')
  const levels: Readonly<Record<string, LogLevel>> = {
    debug: 'debug',
    info: 'info',
    warn: 'warn',
    error: 'error',
  }
  if (text === null) return 'info'
  const level = Object.hasOwn(levels, text) ? levels[text] : undefined
  if (level === undefined) settings.refuse('LOG_LEVEL', 'must be debug, info, warn or error')
  return level ?? 'info'
}

function parseUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null
}

/** Loopback as a name or address; 127.0.0.0/8 because the URL parser has already normalised it. */
export function isLoopbackHost(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}
