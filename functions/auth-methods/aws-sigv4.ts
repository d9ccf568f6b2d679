// Reads an attestation of type aws-sigv4: base64url JSON of a signed GetCallerIdentity request in one of
// two forms. Only what a signature needs is taken out of it (AW-01, RB-08, RB-09).
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import { decodeBase64url } from '../crypto/base64url.ts'
import { type Parsed, refuse, type UntrustedSignedRequest } from './aws-sigv4-fields.ts'
import { parseHeaderForm } from './aws-sigv4-header-form.ts'
import { parsePresignedForm } from './aws-sigv4-presigned-form.ts'

/** STS makes session tokens of up to 4,096 bytes. */
const MAX_ATTESTATION_CHARACTERS = 8_192

/** No I/O, no clock: what is refused here is refused on its form. */
export function parseSignedRequest(token: string): Parsed<UntrustedSignedRequest> {
  if (token.length > MAX_ATTESTATION_CHARACTERS) return refuse('malformed')
  const bytes = decodeBase64url(token)
  const text = bytes === null ? null : utf8(bytes)
  const parsed = text === null ? null : parseStrictJson(text, { maxDepth: 3 })
  if (parsed === null || !parsed.ok || !isJsonObject(parsed.value)) return refuse('malformed')
  const { presigned_url: url, ...rest } = parsed.value
  if (url === undefined) return parseHeaderForm(parsed.value)
  if (typeof url !== 'string' || Object.keys(rest).length > 0) return refuse('malformed')
  return parsePresignedForm(url)
}

function utf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}
