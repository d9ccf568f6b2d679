// Who may serve the bundle of a trust domain under `https_spiffe` (SPIFFE Federation §5.2.2): the workload
// with the configured SPIFFE ID, by an X509-SVID that leads to the trust domain's own roots.
import type { Seconds } from '../core/ports.ts'
import { parseCertificate, type Certificate } from '../crypto/x509/certificate.ts'
import { decodeBase64 } from '../crypto/x509/pem.ts'
import { readChain, verifyChain } from '../crypto/x509/verify-chain.ts'

export type BundleEndpoint = {
  readonly spiffeId: string
  /** Base64 of DER: what is trusted until a bundle has been fetched. */
  readonly roots: readonly string[]
}

export function bundleServerVerifier(
  { spiffeId, roots: configured }: BundleEndpoint,
  /** Of the bundle that is held; an empty one leaves nobody to be believed. */
  held: readonly Certificate[] | null,
  now: Seconds,
): (chain: readonly Uint8Array[]) => Promise<boolean> {
  return async (presented) => {
    const chain = readChain(presented)
    if (!chain.ok) return false
    const [{ names }] = chain.value
    if (names.uri.length !== 1 || names.uri[0] !== spiffeId) return false
    const roots = held ?? configured.flatMap(certificateOf)
    return (await verifyChain({ chain: chain.value, roots, now, purpose: 'svid' })).ok
  }
}

function certificateOf(base64: string): readonly Certificate[] {
  const der = decodeBase64(base64)
  const parsed = der === null ? null : parseCertificate(der)
  return parsed?.ok === true ? [parsed.value] : []
}
