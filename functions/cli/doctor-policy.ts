// What the configured policy depends on: keys of every issuer, names and certificates of every target. The
// checks run from this machine, which may see another network than the broker does.
import { lookup } from 'node:dns/promises'
import { connect } from 'node:tls'
import { type BrokerClient, membersOf } from './broker-client.ts'
import { tried } from './doctor-broker.ts'
import type { Check } from './doctor.ts'
import { CliError, type CliIo } from './io.ts'

const TIMEOUT_MS = 5000
const MAX_KEY_SET_CHARACTERS = 1024 * 1024
const CERTIFICATE_WARN_DAYS = 14

export async function policyChecks(client: BrokerClient, io: CliIo): Promise<Check[]> {
  if (!io.env('SALLYPORT_ADMIN_TOKEN')) {
    const detail = 'issuers and targets were not checked: SALLYPORT_ADMIN_TOKEN is not set'
    return [{ check: 'policy', status: 'WARN', detail, fix: 'set it to an admin token or handle' }]
  }
  const answer = await tried(() => client.admin('GET', '/policy'))
  if (answer instanceof CliError) {
    const fix = 'the token needs the role viewer'
    return [{ check: 'policy', status: 'FAIL', detail: firstLine(answer.message), fix }]
  }
  const { auth_methods: methods, targets } = membersOf(answer.body)
  return Promise.all([
    ...objectsOf(methods).map((method) => methodCheck(method, io)),
    ...objectsOf(targets).map(targetCheck),
  ])
}

type PolicyMembers = Readonly<Record<string, unknown>>

function objectsOf(list: unknown): PolicyMembers[] {
  return (Array.isArray(list) ? list : []).map(membersOf).filter(({ enabled }) => enabled !== false)
}

async function methodCheck(method: PolicyMembers, io: CliIo): Promise<Check> {
  const check = `auth method ${String(method['name'])}`
  const config = membersOf(method['config'])
  if (config['bundle'] !== undefined) return { check, status: 'OK', detail: 'keys are inline' }
  if (config['bundle_profile'] === 'https_spiffe') {
    return { check, status: 'WARN', detail: 'an https_spiffe endpoint cannot be checked from here' }
  }
  try {
    const url = config['bundle_endpoint_url'] ?? config['jwks_uri'] ?? (await jwksUri(config, io))
    if (typeof url !== 'string') return { check, status: 'OK', detail: 'needs no keys' }
    const { body, ageSeconds } = await fetchJson(url, io)
    const keys = membersOf(body)['keys']
    const count = Array.isArray(keys) ? keys.length : 0
    const detail = `${count} keys at ${url}, ${ageSeconds} s old`
    if (count > 0) return { check, status: 'OK', detail }
    return { check, status: 'FAIL', detail, fix: 'no token of this issuer can be verified' }
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'unknown'
    const fix = 'check `issuer`, `jwks_uri` and the way from the broker to them'
    return { check, status: 'FAIL', detail, fix }
  }
}

async function jwksUri(config: PolicyMembers, io: CliIo): Promise<unknown> {
  const { issuer } = config
  if (typeof issuer !== 'string') return undefined
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const discovered = membersOf((await fetchJson(url, io)).body)
  if (discovered['issuer'] !== issuer) {
    throw new Error(`${url} names another issuer: ${String(discovered['issuer'])}`)
  }
  return discovered['jwks_uri']
}

async function fetchJson(
  url: string,
  io: CliIo,
): Promise<{ readonly body: unknown; readonly ageSeconds: number }> {
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
  const ageSeconds = Number(response.headers.get('age') ?? '0')
  try {
    return { body: JSON.parse(text), ageSeconds: Number.isFinite(ageSeconds) ? ageSeconds : 0 }
  } catch (cause) {
    throw new Error(`${url} did not answer JSON`, { cause })
  }
}

async function targetCheck(target: PolicyMembers): Promise<Check> {
  const check = `target ${String(target['name'])}`
  const config = membersOf(target['config'])
  const address = config['base_url'] ?? config['url']
  if (typeof address !== 'string' || !URL.canParse(address)) {
    return { check, status: 'OK', detail: 'has no address of its own' }
  }
  const url = new URL(address)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  try {
    const { address: ip } = await lookup(host)
    if (url.protocol !== 'https:') {
      const fix = 'use https: the credential is readable on the way'
      return { check, status: 'WARN', detail: `${url.origin} is plain http`, fix }
    }
    const days = await certificateDays(host, Number(url.port || 443))
    const detail = `${url.origin} at ${ip}, certificate good for ${days} days`
    if (days >= CERTIFICATE_WARN_DAYS) return { check, status: 'OK', detail }
    return { check, status: 'WARN', detail, fix: 'renew the certificate of the target' }
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    const fix = 'check its name, certificate and the way to it'
    return { check, status: 'FAIL', detail: `${url.origin}: ${reason}`, fix }
  }
}

/** Days until the certificate ends; rejects when it is not one for this host. */
function certificateDays(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, servername: host, timeout: TIMEOUT_MS }, () => {
      const end = Date.parse(socket.getPeerCertificate().valid_to)
      socket.destroy()
      resolve(Math.floor((end - Date.now()) / 86_400_000))
    })
    socket.once('timeout', () => {
      socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' }))
    })
    socket.once('error', reject)
  })
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text
}
