// The authorities of a real SPIRE server: rotated by its own commands, and their private keys read from its
// key store, to sign what the server itself never would.
import { createPrivateKey, type KeyObject, sign, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { MadeCertificate } from '../fakes/openssl.ts'
import type { Spire } from './spire.ts'

export const KINDS = ['jwt', 'x509'] as const
export type AuthorityKind = (typeof KINDS)[number]
export type Rotation = { readonly old: string; readonly new: string }

type BundleKey = { readonly use: string; readonly kid?: string; readonly x5c?: readonly string[] }

/** A new authority signs from now on. The old one stays in the bundle, marked as tainted. */
export async function rotate(spire: Spire, kind: AuthorityKind): Promise<Rotation> {
  const old = await activeAuthority(spire, kind)
  const { prepared_authority: prepared } = await localAuthority(spire, kind, 'prepare')
  const next = prepared?.authority_id
  if (next === undefined) throw new Error(`SPIRE prepared no ${kind} authority`)
  await localAuthority(spire, kind, 'activate', '-authorityID', next)
  await localAuthority(spire, kind, 'taint', '-authorityID', old)
  return { old, new: next }
}

/** Takes it out of the bundle. */
export async function revoke(spire: Spire, kind: AuthorityKind, id: string): Promise<void> {
  await localAuthority(spire, kind, 'revoke', '-authorityID', id)
}

export async function activeAuthority(spire: Spire, kind: AuthorityKind): Promise<string> {
  const { active } = await localAuthority(spire, kind, 'show')
  if (active === undefined) throw new Error(`SPIRE has no active ${kind} authority`)
  return active.authority_id
}

type Authority = { readonly authority_id: string }
type Shown = { readonly active?: Authority; readonly prepared_authority?: Authority }

async function localAuthority(
  spire: Spire,
  kind: AuthorityKind,
  ...command: string[]
): Promise<Shown> {
  const text = await spire.server('localauthority', kind, ...command, '-output', 'json')
  return JSON.parse(text) as Shown
}

/** What the bundle endpoint serves, but for the refresh hint. */
export async function bundleOf(spire: Spire): Promise<JsonObject> {
  return JSON.parse(await spire.server('bundle', 'show', '-format', 'spiffe')) as JsonObject
}

export function jwtKeyIds(bundle: JsonObject): readonly (string | undefined)[] {
  return keysFor(bundle, 'jwt-svid').map(({ kid }) => kid)
}

export function rootsIn(bundle: JsonObject): readonly X509Certificate[] {
  return keysFor(bundle, 'x509-svid').map(
    ({ x5c }) => new X509Certificate(Buffer.from(x5c?.[0] ?? '', 'base64')),
  )
}

function keysFor(bundle: JsonObject, use: string): readonly BundleKey[] {
  return (bundle['keys'] as unknown as readonly BundleKey[]).filter((key) => key.use === use)
}

/** The CA of a trust domain that has had one only, as an issuer for certificates made by hand. */
export async function x509Authority(spire: Spire): Promise<MadeCertificate> {
  const [root] = rootsIn(await bundleOf(spire))
  if (root === undefined) throw new Error('SPIRE has no X.509 authority')
  const key = await privateKey(spire, 'x509-CA-A')
  const keyPem = key.export({ format: 'pem', type: 'pkcs8' }).toString()
  return { name: spire.trustDomain, pem: root.toString(), der: new Uint8Array(root.raw), keyPem }
}

/** A JWT by the key that the trust domain started with, whatever it says. */
export async function signByJwtAuthority(
  spire: Spire,
  { kid, claims }: { readonly kid: string; readonly claims: JsonObject },
): Promise<string> {
  const part = (value: JsonObject) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'ES256', kid, typ: 'JWT' })}.${part(claims)}`
  const key = await privateKey(spire, 'JWT-Signer-A')
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

async function privateKey({ keysFile }: Spire, name: string): Promise<KeyObject> {
  const { keys } = JSON.parse(await readFile(keysFile, 'utf8')) as { keys: Record<string, string> }
  const der = Buffer.from(keys[name] ?? '', 'base64')
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}
