// What vouches for the tokens of one Auth Method: can it be reached, is it what the policy says, how long
// will it last, and is the credential to ask it with in the vault. No token is shown to anybody.
import { stsRegion } from '../auth-methods/aws-regions.ts'
import { PRESETS } from '../auth-methods/presets.ts'
import { parseCertificate } from '../crypto/x509/certificate.ts'
import { decodeBase64, decodePem } from '../crypto/x509/pem.ts'
import { createNodeOutbound } from '../net/node-outbound.ts'
import { OutboundError } from '../net/outbound.ts'
import { membersOf } from './broker-client.ts'
import type { Check } from './doctor.ts'
import type { CliIo } from './io.ts'

type Members = Readonly<Record<string, unknown>>

/** Origins that each sealed secret may be sent to, by reference. */
export type SealedSecrets = ReadonlyMap<string, readonly unknown[]>

type Surroundings = { readonly secrets: SealedSecrets | null; readonly io: CliIo }

const TIMEOUT_MS = 5000
const MAX_KEY_SET_CHARACTERS = 1024 * 1024
const ROOT_WARN_DAYS = 30
const DAY_MS = 86_400_000
/** Keys this old are near the end of what a cache on the way may hold (DEP-3). */
const KEYS_WARN_SECONDS = 86_400
const CLOCK_WARN_SECONDS = 60

export async function methodChecks(method: Members, around: Surroundings): Promise<Check[]> {
  const check = `auth method ${String(method['name'])}`
  const config = membersOf(method['config'])
  switch (method['type']) {
    case 'aws-iam':
      return stsChecks(check, config)
    case 'mtls':
      return [rootCheck(check, pemDers(config['ca']), around.io)]
    case 'oauth-introspection':
      return authorityChecks(check, config, around)
    case 'spiffe-x509':
    case 'spiffe-jwt':
      return [await bundleCheck(check, config, method['type'], around.io)]
    case 'kubernetes':
      return kubernetesChecks(check, config, around)
    default:
      return [await keysCheck(check, config, around.io)]
  }
}

async function kubernetesChecks(
  check: string,
  config: Members,
  around: Surroundings,
): Promise<Check[]> {
  const review = membersOf(config['token_review'])
  const { url, ca } = review
  if (typeof url !== 'string') return [await keysCheck(check, config, around.io)]
  const asks = [
    await reachCheck(`${check}: TokenReview`, url, typeof ca === 'string' ? ca : undefined),
    ...secretChecks(check, review['secret'], url, around.secrets),
  ]
  return config['jwks_uri'] === undefined
    ? asks
    : [await keysCheck(check, config, around.io), ...asks]
}

async function authorityChecks(
  check: string,
  config: Members,
  { secrets }: Surroundings,
): Promise<Check[]> {
  const url = String(config['introspection_endpoint'] ?? config['userinfo_endpoint'])
  return [await reachCheck(check, url), ...secretChecks(check, config['secret'], url, secrets)]
}

/** The first host of each region: the others are the same service under other names. */
function stsChecks(check: string, config: Members): Promise<Check[]> {
  const { regions, sts_endpoint: endpoint } = config
  if (typeof endpoint === 'string') {
    return reachCheck(`${check}: STS`, endpoint).then((one) => [one])
  }
  const names = Array.isArray(regions) ? regions.map(String) : []
  return Promise.all(
    names.map((name) =>
      reachCheck(`${check}: STS ${name}`, `https://${stsRegion(name)?.hosts[0] ?? name}/`),
    ),
  )
}

/** Any answer will do: only a verified token would get a better one. Its redirects are not followed. */
async function reachCheck(check: string, address: string, ca?: string): Promise<Check> {
  const { origin } = new URL(address)
  try {
    const { status, headers, body } = await createNodeOutbound()({
      method: 'GET',
      url: new URL(address),
      headers: [['user-agent', 'sallyport-doctor']],
      body: null,
      timeoutMs: TIMEOUT_MS,
      // This machine may be anywhere; what the broker itself may reach is the policy's to say.
      reach: { privateNetwork: true, loopback: true },
      ...(ca === undefined ? {} : { ca }),
    })
    await body?.cancel()
    const apart = secondsApart(headers.find(([name]) => name === 'date')?.[1])
    if (apart > CLOCK_WARN_SECONDS) {
      const fix = 'synchronise both clocks (NTP)'
      return { check, status: 'WARN', detail: `${origin} is ${apart} s away from here`, fix }
    }
    if (status < 500) return { check, status: 'OK', detail: `${origin} answers` }
    const fix = 'no token of this method can be verified while it does'
    return { check, status: 'FAIL', detail: `${origin} answered ${status}`, fix }
  } catch (error) {
    const reason = error instanceof OutboundError ? error.reason : 'unknown'
    const fix = 'check its address, its certificate and the way from the broker to it'
    return { check, status: 'FAIL', detail: `${origin}: ${reason}`, fix }
  }
}

function secondsApart(date: string | undefined): number {
  const then = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(then) ? 0 : Math.round(Math.abs(then - Date.now()) / 1000)
}

function secretChecks(
  method: string,
  reference: unknown,
  url: string,
  secrets: SealedSecrets | null,
): Check[] {
  // Any other is looked up by the broker (doctor-secrets.ts).
  if (typeof reference !== 'string' || !reference.startsWith('sealed:')) return []
  const check = `${method}: secret`
  if (secrets === null) {
    const fix = 'the token needs the role viewer'
    return [{ check, status: 'WARN', detail: 'secrets could not be listed', fix }]
  }
  const origins = secrets.get(reference)
  const { origin } = new URL(url)
  if (origins === undefined) {
    const fix = `sallyport secrets set ${reference.slice(7)} --allowed-origin ${origin}`
    return [{ check, status: 'FAIL', detail: `${reference} does not exist`, fix }]
  }
  if (!origins.includes(origin)) {
    const fix = `set it again with --allowed-origin ${origin}`
    return [{ check, status: 'FAIL', detail: `${reference} may not be sent to ${origin}`, fix }]
  }
  return [{ check, status: 'OK', detail: `${reference} may be sent to ${origin}` }]
}

async function bundleCheck(
  check: string,
  config: Members,
  type: unknown,
  io: CliIo,
): Promise<Check> {
  if (config['bundle_profile'] === 'https_spiffe') {
    const roots = rootCheck(check, bundleDers(config['bundle']), io)
    const detail = `an https_spiffe endpoint cannot be asked from here; first roots: ${roots.detail}`
    return roots.status === 'FAIL' ? { ...roots, detail } : { check, status: 'WARN', detail }
  }
  if (config['bundle'] === undefined) return keysCheck(check, config, io)
  if (type === 'spiffe-x509') return rootCheck(check, bundleDers(config['bundle']), io)
  return { check, status: 'OK', detail: 'keys are inline' }
}

function pemDers(pem: unknown): readonly Uint8Array[] | null {
  return typeof pem === 'string' ? (decodePem(pem) ?? []) : null
}

function bundleDers(bundle: unknown): readonly Uint8Array[] {
  const { keys } = membersOf(bundle)
  return (Array.isArray(keys) ? keys : []).flatMap((key) => {
    const { x5c } = membersOf(key)
    const der = Array.isArray(x5c) && typeof x5c[0] === 'string' ? decodeBase64(x5c[0]) : null
    return der === null ? [] : [der]
  })
}

/** Fails when none holds any more, warns when one has ended or soon will. Null: pinned by fingerprint. */
function rootCheck(check: string, ders: readonly Uint8Array[] | null, io: CliIo): Check {
  if (ders === null) return { check, status: 'OK', detail: 'certificates are pinned one by one' }
  const ends = ders
    .map(parseCertificate)
    .flatMap((read) =>
      read.ok ? [Math.floor((read.value.notAfter * 1000 - io.nowMs()) / DAY_MS)] : [],
    )
    .toSorted((a, b) => a - b)
  const [first, last] = [ends[0], ends.at(-1)]
  if (first === undefined || last === undefined) {
    return { check, status: 'FAIL', detail: 'no root can be read', fix: 'put the roots in again' }
  }
  const detail = `${ends.length} roots, the first ends in ${first} days, the last in ${last}`
  if (first >= ROOT_WARN_DAYS) return { check, status: 'OK', detail }
  const fix = 'add the new roots to the policy before the old ones end'
  return { check, status: last < 0 ? 'FAIL' : 'WARN', detail, fix }
}

async function keysCheck(check: string, config: Members, io: CliIo): Promise<Check> {
  try {
    const url = config['bundle_endpoint_url'] ?? config['jwks_uri'] ?? (await jwksUri(config, io))
    if (typeof url !== 'string') {
      const fix = 'set `issuer`'
      return { check, status: 'FAIL', detail: 'its keys cannot be found', fix }
    }
    const { body, ageSeconds, apart } = await fetchJson(url, io)
    const keys = membersOf(body)['keys']
    const count = Array.isArray(keys) ? keys.length : 0
    const detail = `${count} keys at ${url}, ${ageSeconds} s old`
    if (count === 0) {
      return { check, status: 'FAIL', detail, fix: 'no token of this issuer can be verified' }
    }
    if (apart > CLOCK_WARN_SECONDS) {
      const fix = 'synchronise both clocks (NTP)'
      return { check, status: 'WARN', detail: `${detail}; its clock is ${apart} s away`, fix }
    }
    if (ageSeconds <= KEYS_WARN_SECONDS) return { check, status: 'OK', detail }
    return {
      check,
      status: 'WARN',
      detail,
      fix: 'a cache on the way holds old keys: new ones are late',
    }
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'unknown'
    const fix = 'check `issuer`, `jwks_uri` and the way from the broker to them'
    return { check, status: 'FAIL', detail, fix }
  }
}

async function jwksUri(config: Members, io: CliIo): Promise<unknown> {
  const preset = PRESETS.find(({ name }) => name === config['preset'])
  const issuer = config['issuer'] ?? preset?.issuer
  if (typeof issuer !== 'string') return undefined
  if (preset?.jwksPath !== undefined) return `${issuer}${preset.jwksPath}`
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const discovered = membersOf((await fetchJson(url, io)).body)
  if (discovered['issuer'] !== issuer) {
    throw new Error(`${url} names another issuer: ${String(discovered['issuer'])}`)
  }
  return discovered['jwks_uri']
}

type Fetched = { readonly body: unknown; readonly ageSeconds: number; readonly apart: number }

async function fetchJson(url: string, io: CliIo): Promise<Fetched> {
  let response: Response
  let text: string
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    response = await io.fetch(url, { redirect: 'error', signal })
    text = await response.text()
  } catch (cause) {
    throw new Error(`${url} cannot be reached`, { cause })
  }
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  if (text.length > MAX_KEY_SET_CHARACTERS) throw new Error(`${url} answered too much`)
  const age = Number(response.headers.get('age') ?? '0')
  const ageSeconds = Number.isFinite(age) ? age : 0
  try {
    // What a cache answers carries the date at which it was stored.
    const apart = ageSeconds > 0 ? 0 : secondsApart(response.headers.get('date') ?? undefined)
    return { body: JSON.parse(text), ageSeconds, apart }
  } catch (cause) {
    throw new Error(`${url} did not answer JSON`, { cause })
  }
}
