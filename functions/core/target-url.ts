// The one form of a target's URL: `aud` of a handle, `resource` of an exchange, base of the gateway.

/** `ISSUER/t/{target}` */
export function targetUrl(issuer: string, target: string): string {
  return `${issuer}/t/${target}`
}
