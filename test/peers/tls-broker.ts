// A broker process that ends TLS itself, and exchanges over it with and without a client certificate.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { LEAF, type MadeCertificate, opensslLab } from '../fakes/openssl.ts'
import {
  type BrokerProcess,
  type BrokerProcessOptions,
  startBrokerProcess,
} from './broker-process.ts'

export type ClientPair = { readonly cert?: string; readonly key?: string }
export type ExchangeAnswer = { readonly status: number; readonly body: Record<string, unknown> }

export type TlsBroker = BrokerProcess & {
  /** For the target `crm` unless `parameters` names another. */
  exchange(
    parameters: Readonly<Record<string, string>>,
    client?: ClientPair,
  ): Promise<ExchangeAnswer>
}

export const BY_TLS = { subject_token: 'tls', subject_token_type: 'urn:sallyport:token-type:mtls' }

export function byJwt(token: string): Readonly<Record<string, string>> {
  return {
    subject_token: token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  }
}

/** What a certificate that is valid now, by whatever clock the machine has, is made with. */
export function validNow(): { readonly notBefore: string; readonly notAfter: string } {
  const year = new Date().getUTCFullYear()
  return { notBefore: `${year - 1}0101000000Z`, notAfter: `${year + 2}0101000000Z` }
}

/** This process trusts the broker's certificate from then on. */
export async function startTlsBroker(options: BrokerProcessOptions): Promise<TlsBroker> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tls-'))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  try {
    serverPair ??= makeServerPair()
    writeFileSync(cert, serverPair.pem)
    writeFileSync(key, serverPair.keyPem)
    const broker = await startBrokerProcess({
      ...options,
      env: { ...options.env, SALLYPORT_TLS_CERT: cert, SALLYPORT_TLS_KEY: key },
    })
    return { ...broker, exchange: (...sent) => exchange(broker.url, ...sent) }
  } finally {
    // Both files are read before the broker listens.
    rmSync(folder, { recursive: true, force: true })
  }
}

// One for every broker of this process: fetch() takes no further authorities once it has been used.
let serverPair: MadeCertificate | null = null

function makeServerPair(): MadeCertificate {
  const lab = opensslLab()
  try {
    const extensions = [...LEAF, 'subjectAltName=IP:127.0.0.1']
    const made = lab.make({ ...validNow(), name: 'broker', extensions })
    setDefaultCACertificates([...getCACertificates('default'), made.pem])
    return made
  } finally {
    lab.close()
  }
}

/** On a connection of its own, so that no certificate outlives its call. */
function exchange(
  url: string,
  parameters: Readonly<Record<string, string>>,
  client: ClientPair = {},
): Promise<ExchangeAnswer> {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience: 'crm',
    ...parameters,
  })
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      `${url}/token-exchange`,
      {
        method: 'POST',
        agent: false,
        ...client,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => {
          const body = JSON.parse(text) as Record<string, unknown>
          resolve({ status: response.statusCode ?? 0, body })
        })
      },
    )
    request.on('error', reject)
    request.end(form.toString())
  })
}

/** The `sub` of the handle that an exchange gave. */
export function subjectOf({ body }: ExchangeAnswer): string {
  const payload = String(body['access_token']).split('.')[1] ?? ''
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: string }).sub
}

type Refusal = { readonly outcome: { readonly facts: unknown } }

/** The refusals of its audit log, oldest first. */
export async function refusals(broker: BrokerProcess): Promise<readonly Refusal[]> {
  const page = await broker.admin('GET', '/audit?type=refusal&limit=200')
  return (page as { readonly items: readonly Refusal[] }).items
}
