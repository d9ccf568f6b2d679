// The X.509 half of a SPIFFE bundle (SPIFFE Bundle §4, SP-09): roots are the entries with use
// `x509-svid`, and of each the first certificate of `x5c` alone.
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { type Certificate, parseCertificate } from '../crypto/x509/certificate.ts'
import { decodeBase64 } from '../crypto/x509/pem.ts'

export const X509_SVID_USE = 'x509-svid'

/** What cannot be read is left out: fewer roots refuse more. */
export function readBundleRoots(bundle: JsonObject): readonly Certificate[] {
  const entries: unknown = bundle['keys']
  if (!Array.isArray(entries)) return []
  return entries.flatMap((entry) => {
    const root = isJsonObject(entry) ? readBundleRoot(entry) : null
    return root === null ? [] : [root]
  })
}

/** The root of one entry, or null where it is for something else or broken. */
export function readBundleRoot(entry: JsonObject): Certificate | null {
  const chain: unknown = entry['x5c']
  if (entry['use'] !== X509_SVID_USE || !Array.isArray(chain)) return null
  const [first] = chain as readonly unknown[]
  const der = typeof first === 'string' ? decodeBase64(first) : null
  const parsed = der === null ? null : parseCertificate(der)
  return parsed?.ok === true ? parsed.value : null
}
