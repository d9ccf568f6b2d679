// The one form of a target's URL: `aud` of a handle, `resource` of an exchange, base of the gateway.

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/** `ISSUER/t/{target}` */
export function targetUrl(issuer: string, target: string): string {
  return `${issuer}/t/${target}`
}

/** `ISSUER/t/{target}`, exactly; a query is accepted and means nothing (C3), a fragment is refused. */
export function targetOfUrl(issuer: string, url: string): string | null {
  if (url.includes('#')) return null
  const withoutQuery = url.split('?')[0] ?? ''
  const name = withoutQuery.slice(withoutQuery.lastIndexOf('/') + 1)
  return NAME.test(name) && withoutQuery === targetUrl(issuer, name) ? name : null
}
