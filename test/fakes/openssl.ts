// Certificates made by openssl, and its verdict on them: the second opinion for the verifier of our own.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type MadeCertificate = {
  readonly name: string
  readonly pem: string
  readonly der: Uint8Array
  readonly keyPem: string
}

export type CertificateRequest = {
  /** Whose key it has; a new one under this name when there is none yet. */
  readonly name: string
  readonly subject?: string
  /** Absent: signed by itself. */
  readonly issuer?: MadeCertificate
  /** Lines of an openssl extension section. */
  readonly extensions?: readonly string[]
  /** `genpkey` options, EC P-256 by default. */
  readonly key?: readonly string[]
  readonly digest?: string
  readonly signOptions?: readonly string[]
  /** openssl's own form, `YYYYMMDDHHMMSSZ`. */
  readonly notBefore?: string
  readonly notAfter?: string
  readonly reuseKeyOf?: MadeCertificate
}

export type OpensslLab = {
  make(request: CertificateRequest): MadeCertificate
  /** Whether `openssl verify` accepts the leaf as a TLS client. */
  accepts(input: {
    readonly chain: readonly MadeCertificate[]
    readonly roots: readonly MadeCertificate[]
    readonly now: number
  }): boolean
  close(): void
}

export const EC_P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
const NOT_BEFORE = '20260101000000Z'
const NOT_AFTER = '20280101000000Z'

export const CA = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
export const LEAF = ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature']

export function openssl(args: readonly string[], input = ''): string {
  return execFileSync('openssl', args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] })
}

export function derOf(pem: string): Uint8Array {
  const body = /-----BEGIN CERTIFICATE-----([^-]*)-----END/.exec(pem)?.[1] ?? ''
  return new Uint8Array(Buffer.from(body, 'base64'))
}

export function opensslLab(): OpensslLab {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-x509-'))
  let count = 0
  const file = (name: string) => join(folder, name)
  return {
    make(request) {
      count += 1
      const base = file(`${count}-${request.name}`)
      const key = `${base}.key`
      if (request.reuseKeyOf !== undefined) writeFileSync(key, request.reuseKeyOf.keyPem)
      else openssl(['genpkey', ...(request.key ?? EC_P256), '-out', key])
      const subject = request.subject ?? `/CN=${request.name}`
      openssl(['req', '-new', '-key', key, '-subj', subject, '-utf8', '-out', `${base}.csr`])
      const { issuer } = request
      if (issuer !== undefined) {
        writeFileSync(`${base}.ca`, issuer.pem)
        writeFileSync(`${base}.cakey`, issuer.keyPem)
      }
      writeFileSync(
        `${base}.cnf`,
        caConfig(folder, count, request.extensions ?? [...(issuer === undefined ? CA : LEAF)]),
      )
      writeFileSync(file(`index-${count}`), '')
      openssl([
        'ca',
        '-batch',
        '-notext',
        '-config',
        `${base}.cnf`,
        '-in',
        `${base}.csr`,
        '-out',
        `${base}.pem`,
        ...(issuer === undefined
          ? ['-selfsign', '-keyfile', key]
          : ['-cert', `${base}.ca`, '-keyfile', `${base}.cakey`]),
        '-startdate',
        request.notBefore ?? NOT_BEFORE,
        '-enddate',
        request.notAfter ?? NOT_AFTER,
        '-md',
        request.digest ?? 'default',
        ...(request.signOptions ?? []).flatMap((option) => ['-sigopt', option]),
      ])
      const pem = readFileSync(`${base}.pem`, 'utf8')
      return { name: request.name, pem, der: derOf(pem), keyPem: readFileSync(key, 'utf8') }
    },
    accepts({ chain, roots, now }) {
      count += 1
      const write = (name: string, certificates: readonly MadeCertificate[]) => {
        const path = file(`${count}-${name}.pem`)
        writeFileSync(path, certificates.map(({ pem }) => pem).join('\n'))
        return path
      }
      const [leaf, ...others] = chain
      const run = spawnSync('openssl', [
        'verify',
        '-no-CAfile',
        '-no-CApath',
        '-no-CAstore',
        '-purpose',
        'sslclient',
        '-attime',
        String(now),
        '-CAfile',
        write('roots', roots),
        ...(others.length > 0 ? ['-untrusted', write('others', others)] : []),
        write('leaf', leaf === undefined ? [] : [leaf]),
      ])
      return run.status === 0
    },
    close() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function caConfig(folder: string, count: number, extensions: readonly string[]): string {
  return [
    '[ca]',
    'default_ca=this',
    '[this]',
    `database=${folder}/index-${count}`,
    `new_certs_dir=${folder}`,
    'rand_serial=yes',
    'unique_subject=no',
    'policy=any',
    'email_in_dn=yes',
    'preserve=yes',
    'x509_extensions=ext',
    '[any]',
    ...['countryName', 'stateOrProvinceName', 'localityName', 'organizationName'].map(optional),
    ...['organizationalUnitName', 'commonName', 'emailAddress', 'serialNumber'].map(optional),
    ...['domainComponent', 'userId', 'surname'].map(optional),
    '[ext]',
    'subjectKeyIdentifier=hash',
    'authorityKeyIdentifier=keyid',
    ...extensions,
  ].join('\n')
}

function optional(attribute: string): string {
  return `${attribute}=optional`
}
