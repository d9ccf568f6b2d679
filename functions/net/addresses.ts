// What a call may reach, decided on parsed addresses and never on text (SSRF-1). Metadata services and
// everything link-local are refused whatever the configuration says.
import ipaddr from 'ipaddr.js'
import type { Reach } from './outbound.ts'

type V4 = InstanceType<typeof ipaddr.IPv4>
type V6 = InstanceType<typeof ipaddr.IPv6>

const PUBLIC_ONLY: Reach = { privateNetwork: false, loopback: false }

/** Metadata services outside 169.254.0.0/16: Alibaba Cloud, Azure, Oracle. */
const METADATA_V4 = ['100.100.100.200', '168.63.129.16', '192.0.0.192']

/** Metadata services within ULA space: AWS (the whole block), Google Cloud, Scaleway. */
const METADATA_V6: readonly [V6, number][] = [
  [ipaddr.IPv6.parse('fd00:ec2::'), 32],
  [ipaddr.IPv6.parse('fd20:ce::254'), 128],
  [ipaddr.IPv6.parse('fd00:42::42'), 128],
]

/** 64:ff9b::/96, RFC 6052: an IPv6-only network reaches IPv4 hosts through it. */
const NAT64: [V6, number] = [ipaddr.IPv6.parse('64:ff9b::'), 96]
/** What is routed in public; everything outside it is refused or a private range of its own. */
const GLOBAL_UNICAST: [V6, number] = [ipaddr.IPv6.parse('2000::'), 3]

/** Names of metadata services, which resolve only where they can do harm. */
const METADATA_NAMES = [
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.azure.com',
  'metadata.packet.net',
  'metadata.platformequinix.com',
  'metadata.tencentyun.com',
  'instance-data',
  'instance-data.ec2.internal',
]

/** Why the address may not be reached, as a stable word, or null when it may. */
export function addressRefusal(ip: string, reach: Reach): string | null {
  // The parser's short and octal IPv4 forms are not addresses here: a resolver never answers with one.
  if (ipaddr.IPv4.isValidFourPartDecimal(ip)) return v4Refusal(ipaddr.IPv4.parse(ip), reach)
  // A zone names an interface of this machine: link-local by definition.
  if (ip.includes('%')) return 'link_local'
  if (!ipaddr.IPv6.isValid(ip)) return 'not_an_address'
  return v6Refusal(ipaddr.IPv6.parse(ip), reach)
}

/** The same for what can be told before resolution: scheme, user info, literal addresses, names. */
export function hostRefusal(url: URL, reach: Reach): string | null {
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && reach.loopback)) return 'scheme'
  if (url.username !== '' || url.password !== '') return 'userinfo'
  const host = url.hostname.toLowerCase()
  if (host === '') return 'no_host'
  if (host.startsWith('[')) return addressRefusal(host.slice(1, -1), reach)
  // The URL parser has turned every numeric spelling (127.1, 0x7f.1, 2130706433) into four decimals.
  if (ipaddr.IPv4.isValid(host)) return addressRefusal(host, reach)
  return nameRefusal(host, reach)
}

function nameRefusal(host: string, reach: Reach): string | null {
  // `localhost.` is another spelling of `localhost`, for names in allow-lists as well.
  if (host.endsWith('.')) return 'trailing_dot'
  if (METADATA_NAMES.includes(host)) return 'metadata'
  if (host === 'localhost' || host.endsWith('.localhost')) {
    return reach.loopback ? null : 'loopback'
  }
  if (host.endsWith('.internal')) return reach.privateNetwork ? null : 'private'
  return null
}

function v4Refusal(address: V4, reach: Reach): string | null {
  if (METADATA_V4.includes(address.toString())) return 'metadata'
  switch (address.range()) {
    case 'unicast':
      return null
    case 'loopback':
      return reach.loopback ? null : 'loopback'
    case 'private':
      return reach.privateNetwork ? null : 'private'
    case 'carrierGradeNat':
      return reach.privateNetwork ? null : 'carrier_grade_nat'
    case 'linkLocal':
      return 'link_local'
    default:
      return address.range()
  }
}

function v6Refusal(address: V6, reach: Reach): string | null {
  if (METADATA_V6.some((block) => address.match(block))) return 'metadata'
  if (address.isIPv4MappedAddress()) return v4Refusal(address.toIPv4Address(), reach)
  // No private address is behind a translator that this broker was told about (RFC 6052 §3.1).
  if (address.match(NAT64)) return v4Refusal(embeddedV4(address), PUBLIC_ONLY)
  switch (address.range()) {
    case 'unicast':
      return address.match(GLOBAL_UNICAST) ? null : 'reserved'
    case 'loopback':
      return reach.loopback ? null : 'loopback'
    case 'uniqueLocal':
      return reach.privateNetwork ? null : 'private'
    case 'linkLocal':
      return 'link_local'
    // 6to4 and Teredo among them: retired, and a second way to write any IPv4 address.
    default:
      return address.range()
  }
}

function embeddedV4(address: V6): V4 {
  return new ipaddr.IPv4(address.toByteArray().slice(-4))
}
