// What the configured policy depends on: what vouches for each Auth Method, names and certificates of every
// target. The checks run from this machine, which may see another network than the broker does.
import { lookup } from 'node:dns/promises'
import { connect } from 'node:tls'
import { type BrokerClient, membersOf } from './broker-client.ts'
import { awsTargetCheck } from './doctor-aws.ts'
import { tried } from './doctor-broker.ts'
import { methodChecks, type SealedSecrets } from './doctor-methods.ts'
import { foreignSecretChecks } from './doctor-secrets.ts'
import type { Check } from './doctor.ts'
import { CliError, type CliIo } from './io.ts'

const TIMEOUT_MS = 5000
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
  const secrets = await sealedSecrets(client)
  const checked = await Promise.all([
    ...objectsOf(methods).map((method) => methodChecks(method, { secrets, io })),
    ...objectsOf(targets).map(async (target) => [await targetCheck(target, client)]),
  ])
  return [...checked.flat(), ...(await foreignSecretChecks(client, enabledOf(answer.body)))]
}

/** Null when they cannot be listed. */
async function sealedSecrets(client: BrokerClient): Promise<SealedSecrets | null> {
  const found = new Map<string, readonly unknown[]>()
  let cursor: unknown
  do {
    const query = typeof cursor === 'string' ? `?cursor=${encodeURIComponent(cursor)}` : ''
    const answer = await tried(() => client.admin('GET', `/secrets${query}`))
    if (answer instanceof CliError) return null
    const page = membersOf(answer.body)
    for (const secret of Array.isArray(page['items']) ? page['items'].map(membersOf) : []) {
      const { name, allowed_origins: origins } = secret
      found.set(`sealed:${String(name)}`, Array.isArray(origins) ? origins : [])
    }
    cursor = page['next_cursor']
  } while (typeof cursor === 'string')
  return found
}

/** The policy without what is switched off, which nobody uses. */
function enabledOf(policy: unknown): PolicyMembers {
  return Object.fromEntries(
    Object.entries(membersOf(policy)).map(([kind, list]) => [kind, objectsOf(list)]),
  )
}

type PolicyMembers = Readonly<Record<string, unknown>>

function objectsOf(list: unknown): PolicyMembers[] {
  return (Array.isArray(list) ? list : []).map(membersOf).filter(({ enabled }) => enabled !== false)
}

async function targetCheck(target: PolicyMembers, client: BrokerClient): Promise<Check> {
  if (target['type'] === 'aws-sts') return awsTargetCheck(target, client)
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
