// URLs that an upstream sends back. Those below the target's base come out as paths of the gateway, so
// that the agent can follow them through it; all others are dropped: a link to elsewhere that was signed
// for the credential is a credential (SSRF-3).
import { withoutParameter } from './inject.ts'

export type Base = {
  readonly origin: string
  /** Path of the base without the slash at its end, e.g. `/api` or ''. */
  readonly prefix: string
  /** Where the gateway serves the target, e.g. `/t/crm`. */
  readonly gatewayPath: string
  /** Query parameter that carries the credential. */
  readonly secretParameter: string | null
}

/** The gateway's path for `reference`, or null when it leads anywhere else. */
export function gatewayReference(base: Base, requestUrl: URL, reference: string): string | null {
  if (!URL.canParse(reference, requestUrl.href)) return null
  const url = new URL(reference, requestUrl)
  if (url.origin !== base.origin || url.username !== '' || url.password !== '') return null
  const { pathname } = url
  if (pathname !== base.prefix && !pathname.startsWith(`${base.prefix}/`)) return null
  const query = queryOf(base, url)
  return `${base.gatewayPath}${pathname.slice(base.prefix.length) || '/'}${query}${url.hash}`
}

function queryOf(base: Base, url: URL): string {
  const query = url.search.slice(1)
  const kept = base.secretParameter === null ? query : withoutParameter(query, base.secretParameter)
  return kept === '' ? '' : `?${kept}`
}

const LINK_VALUE = /<([^<>]*)>((?:[^",<>]|"(?:[^"\\]|\\.)*")*)(?:,|$)/g

/** A `Link` field (RFC 8288) with its targets rewritten; null when none of them is left. */
export function gatewayLinks(base: Base, requestUrl: URL, field: string): string | null {
  const links: string[] = []
  for (const [, target = '', parameters = ''] of field.matchAll(LINK_VALUE)) {
    const reference = gatewayReference(base, requestUrl, target.trim())
    if (reference !== null) links.push(`<${reference}>${parameters.trimEnd()}`)
  }
  return links.length === 0 ? null : links.join(', ')
}
