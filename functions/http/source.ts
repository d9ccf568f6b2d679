// The client as a key for rate limits: from the address that the platform vouches for, never a header.
import ipaddr from 'ipaddr.js'

/**
 * An IPv4 address, or the /64 of an IPv6 address, which is what one customer has (ADM-5). Null for
 * loopback: a proxy on this machine makes all clients one.
 */
export function sourceOf(address: string | null): string | null {
  if (address === null || !ipaddr.isValid(address)) return null
  // process() turns IPv4-mapped IPv6 into the IPv4 address that it is.
  const parsed = ipaddr.process(address)
  if (parsed.range() === 'loopback') return null
  if (parsed.kind() === 'ipv4') return parsed.toString()
  const network = parsed.toByteArray().fill(0, 8)
  return `${ipaddr.fromByteArray(network).toString()}/64`
}
