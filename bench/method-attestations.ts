// The attestations of the benchmark of methods: tokens, certificates, signed requests, and what is refused
// on its form. Beside each signed one the bare check of its signatures, by the primitive that the broker
// uses, on the same bytes.
import { AwsV4Signer } from 'aws4fetch'
import type { UntrustedAttestation } from '../functions/core/auth-method.ts'
import { TOKEN_TYPES } from '../functions/core/token.ts'
import { type Certificate, parseCertificate } from '../functions/crypto/x509/certificate.ts'
import { certificateKey, signatureAlgorithm } from '../functions/crypto/x509/signature.ts'
import { systemClock } from '../functions/platforms/system.ts'
import { CA, LEAF, type MadeCertificate, opensslLab } from '../test/fakes/openssl.ts'
import { encoded, type TokenIssuer } from '../test/fakes/token-issuer.ts'
import { BROKER, type TokenMethod } from './method-tokens.ts'

/** What is shown to one method, in turn. */
export type MethodSubject = {
  readonly name: string
  readonly attestations: readonly UntrustedAttestation[]
  /** The signatures of each attestation and nothing else; null where none is checked in the process. */
  readonly bare: readonly (() => boolean | Promise<boolean>)[] | null
}

/** What is refused on its form, and why. */
export type FormSubject = Omit<MethodSubject, 'bare'> & { readonly reason: string }

export type Issuers = ReadonlyMap<TokenMethod, TokenIssuer>

/** Nothing may live off having seen a token before. */
const TOKENS = 256
const LEAVES = 8

const ALGORITHMS: Readonly<Record<string, { name: string; hash: string; namedCurve?: string }>> = {
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  ES256: { name: 'ECDSA', hash: 'SHA-256', namedCurve: 'P-256' },
}

export async function tokensOf(method: TokenMethod, issuer: TokenIssuer): Promise<MethodSubject> {
  const sign = (index: number) => issuer.sign({ ...method.claims, jti: `run-${index}` })
  const tokens = await Promise.all(Array.from({ length: TOKENS }, (_, index) => sign(index)))
  const algorithm = ALGORITHMS[method.alg]
  if (algorithm === undefined) throw new Error(method.alg)
  const { kty = '', use: _, ...members } = issuer.publicJwk
  const jwk = { kty: String(kty), ...members }
  const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['verify'])
  return {
    name: method.name,
    attestations: tokens.map(asJwt),
    bare: tokens.map((token) => {
      const end = token.lastIndexOf('.')
      const signed = new TextEncoder().encode(token.slice(0, end))
      const signature = new Uint8Array(Buffer.from(token.slice(end + 1), 'base64url'))
      return () => crypto.subtle.verify(algorithm, key, signature, signed)
    }),
  }
}

function asJwt(token: string): UntrustedAttestation {
  return { tokenType: TOKEN_TYPES.jwt, token }
}

type Certificates = { readonly root: MadeCertificate; readonly intermediate: MadeCertificate }
type MadeCertificates = Certificates & {
  readonly svids: readonly MadeCertificate[]
  readonly clients: readonly MadeCertificate[]
}

/** Leaf, intermediate and root, P-256 throughout, as SPIRE makes them below an upstream authority. */
export function makeCertificates(spiffeId: string): MadeCertificates {
  const lab = opensslLab()
  const day = (days: number) =>
    new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d{3}/g, '')
  const times = { notBefore: day(-1), notAfter: day(1) }
  try {
    const root = lab.make({ name: 'root', ...times })
    const intermediate = lab.make({ name: 'intermediate', issuer: root, extensions: CA, ...times })
    const leaves = (san: string) =>
      Array.from({ length: LEAVES }, (_, index) => {
        const extensions = [...LEAF, `subjectAltName=${san}`]
        return lab.make({ name: `leaf-${index}`, issuer: intermediate, extensions, ...times })
      })
    return {
      root,
      intermediate,
      svids: leaves(`URI:${spiffeId}`),
      clients: leaves('DNS:agent.example'),
    }
  } finally {
    lab.close()
  }
}

export async function chainsOf(
  name: string,
  leaves: readonly MadeCertificate[],
  { root, intermediate }: Certificates,
): Promise<MethodSubject> {
  const [top, middle] = [read(root), read(intermediate)]
  const ofMiddle = await bareCheck(middle, top)
  const ofLeaves = await Promise.all(leaves.map((leaf) => bareCheck(read(leaf), middle)))
  return {
    name,
    attestations: leaves.map(({ der }) => ({
      tokenType: TOKEN_TYPES.mtls,
      token: 'tls',
      certificate: { chain: [der, intermediate.der], provenByPlatform: true },
    })),
    bare: ofLeaves.map((ofLeaf) => async () => (await ofLeaf()) && (await ofMiddle())),
  }
}

function read({ der }: MadeCertificate): Certificate {
  const certificate = parseCertificate(der)
  if (!certificate.ok) throw new Error(certificate.failure)
  return certificate.value
}

/** The signature alone: the issuer's key is ready. */
async function bareCheck(child: Certificate, issuer: Certificate): Promise<() => Promise<boolean>> {
  const key = await certificateKey(issuer)
  const algorithm = signatureAlgorithm(child)
  if (key === null || algorithm === null) throw new Error('a certificate of a foreign kind')
  return () => key.verify(algorithm, child.tbs, child.signature)
}

/** GetCallerIdentity, as an agent with the credentials of a role signs it. */
export async function signedRequests(sts: string): Promise<readonly UntrustedAttestation[]> {
  const body = 'Action=GetCallerIdentity&Version=2011-06-15'
  const datetime = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const one = async (index: number): Promise<UntrustedAttestation> => {
    const signer = new AwsV4Signer({
      method: 'POST',
      url: `${sts}/`,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-sallyport-server-id': BROKER,
      },
      body,
      accessKeyId: 'ASIAROLE00000000000A',
      secretAccessKey: `secret-${index}`,
      sessionToken: 'FwoGZXIvYXdzEBYaD+/'.padEnd(400, 'x'),
      service: 'sts',
      region: 'eu-central-1',
      datetime,
    })
    const signed = await signer.sign()
    const headers = Object.fromEntries([...signed.headers].map(([name, value]) => [name, [value]]))
    const token = encoded({ method: 'POST', url: `${sts}/`, headers, body })
    return { tokenType: TOKEN_TYPES.awsSigV4, token }
  }
  return Promise.all(Array.from({ length: TOKENS }, (_, index) => one(index)))
}

export function opaqueTokens(): readonly UntrustedAttestation[] {
  return Array.from({ length: TOKENS }, (_, index) => ({
    tokenType: TOKEN_TYPES.opaque,
    token: `saas_${index}_`.padEnd(64, 'x'),
  }))
}

/** Each is refused before a key is looked up. All of them are signed, since the signature is not reached. */
export async function formsOf(issuers: Issuers): Promise<readonly FormSubject[]> {
  const [first] = issuers
  if (first === undefined) throw new Error('there is no issuer')
  const [{ claims }, issuer] = first
  const { alg, kid } = issuer
  const hourAgo = systemClock.nowSeconds() - 3600
  const many = async (make: (index: number) => string | Promise<string>) =>
    (await Promise.all(Array.from({ length: TOKENS }, (_, index) => make(index)))).map(asJwt)
  const signed = (change: object, header: object = {}) =>
    many((index) =>
      issuer.sign(
        { ...claims, jti: `run-${index}`, ...change },
        { alg, kid, typ: 'JWT', ...header },
      ),
    )
  const stranger = { iss: 'https://stranger.example' }
  return [
    {
      name: 'no configured issuer',
      reason: 'unknown_issuer',
      attestations: await signed(stranger),
    },
    {
      name: 'the same, the longest there is',
      reason: 'unknown_issuer',
      attestations: await signed({ ...stranger, filler: 'x'.repeat(11_500) }),
    },
    {
      name: 'wrong algorithm',
      reason: 'algorithm_not_allowed',
      attestations: await signed({}, { alg: 'HS256' }),
    },
    {
      name: 'expired',
      reason: 'expired',
      attestations: await signed({ iat: hourAgo, nbf: hourAgo, exp: hourAgo + 600 }),
    },
    {
      name: 'not a JWT',
      reason: 'malformed',
      attestations: await many((index) => `opaque-${index}-`.padEnd(600, 'x')),
    },
  ]
}
