import { describe, expect, it } from 'vitest'
import { addressRefusal, hostRefusal } from '../../functions/net/addresses.ts'
import type { Reach } from '../../functions/net/outbound.ts'

const nothing: Reach = { privateNetwork: false, loopback: false }
const privateNetwork: Reach = { privateNetwork: true, loopback: false }
const loopback: Reach = { privateNetwork: false, loopback: true }
const everything: Reach = { privateNetwork: true, loopback: true }

const METADATA = [
  'https://169.254.169.254/',
  'https://169.254.170.2/',
  'https://169.254.170.23/',
  'https://[::ffff:a9fe:a9fe]/',
  'https://[::ffff:169.254.169.254]/',
  'https://[64:ff9b::a9fe:a9fe]/',
  'https://[fd00:ec2::254]/',
  'https://[fd00:ec2::23]/',
  'https://[fd20:ce::254]/',
  'https://100.100.100.200/',
  'https://[::ffff:100.100.100.200]/',
  'https://168.63.129.16/',
  'https://0xa9.0xfe.0xa9.0xfe/',
  'https://2852039166/',
  'https://0251.0376.0251.0376/',
  'https://0xa9fea9fe/',
  'https://169.254.43518/',
  'https://[fe80::1]/',
  'https://metadata.google.internal/',
  'https://METADATA.google.internal/',
  'https://metadata.google.internal./',
  'https://metadata/',
  'https://instance-data/',
]
const NEVER_REACHED = [
  'https://0.0.0.0/',
  'https://0/',
  'https://[::]/',
  'https://0.1.2.3/',
  'https://224.0.0.1/',
  'https://255.255.255.255/',
  'https://240.0.0.1/',
  'https://192.0.2.1/',
  'https://198.18.0.1/',
  'https://[ff02::1]/',
  'https://[2002:7f00:1::]/',
  'https://[2002:808:808::]/',
  'https://[2001::1]/',
  'https://[2001:db8::1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://[64:ff9b::a00:1]/',
  'https://[64:ff9b:1::a00:1]/',
  'https://[::7f00:1]/',
  'https://[::808:808]/',
  'https://[100::1]/',
  'https://[::ffff:0:7f00:1]/',
  'https://[fec0::1]/',
  'https://[4000::1]/',
  'https://[::ffff:0.0.0.0]/',
  'https://user@example.com/',
  'https://user:pass@example.com/',
  'https://example.com@127.0.0.1/',
  'https://localhost./',
  'https://example.com./',
  'ftp://example.com/',
  'file:///etc/passwd',
  'data:text/plain,x',
  'gopher://example.com/',
]
const LOOPBACK = [
  'https://127.0.0.1/',
  'https://127.0.0.1./',
  'https://127.1/',
  'https://0x7f.1/',
  'https://2130706433/',
  'https://0177.0.0.1/',
  'https://017700000001/',
  'https://127.255.255.254/',
  'https://[::1]/',
  'https://[0:0:0:0:0:0:0:1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://[::ffff:7f00:1]/',
  'https://localhost/',
  'https://LOCALHOST/',
  'https://a.localhost/',
  'https://１２７.０.０.１/',
  'https://①②⑦.⓪.⓪.①/',
  'https://127。0。0。1/',
  'https://%31%32%37.0.0.1/',
]
const PRIVATE = [
  'https://10.0.0.1/',
  'https://172.16.0.1/',
  'https://172.31.255.255/',
  'https://192.168.1.1/',
  'https://100.64.0.1/',
  'https://100.127.255.255/',
  'https://[fd12:3456::1]/',
  'https://[fc00::1]/',
  'https://[::ffff:10.0.0.1]/',
  'https://[::ffff:a00:1]/',
  'https://10.1/',
  'https://0x0a000001/',
  'https://vm.c.project.internal/',
]
const PUBLIC = [
  'https://example.com/',
  'https://8.8.8.8/',
  'https://[2606:4700::1111]/',
  'https://172.15.0.1/',
  'https://172.32.0.1/',
  'https://100.63.0.1/',
  'https://100.128.0.1/',
  'https://[::ffff:8.8.8.8]/',
  'https://[64:ff9b::808:808]/',
  'https://localhost.example.com/',
  'https://internal.example/',
  'https://bücher.example/',
  'https://xn--bcher-kva.example/',
]

/** The parser refuses some of them itself, which is as good. */
function refusalOf(url: string, reach: Reach): string | null {
  return URL.canParse(url) ? hostRefusal(new URL(url), reach) : 'not a URL'
}

describe('hostRefusal', () => {
  it.each(METADATA)('SSRF-1, SSRF-5: never reaches the metadata service at %s', (url) => {
    for (const reach of [nothing, privateNetwork, loopback, everything]) {
      expect(refusalOf(url, reach)).not.toBeNull()
    }
  })

  it.each(NEVER_REACHED)('SSRF-1: never reaches %s', (url) => {
    for (const reach of [nothing, privateNetwork, loopback, everything]) {
      expect(refusalOf(url, reach)).not.toBeNull()
    }
  })

  it.each(LOOPBACK)('SSRF-1: reaches the loopback at %s in development only', (url) => {
    expect(refusalOf(url, nothing)).toBe('loopback')
    expect(refusalOf(url, privateNetwork)).toBe('loopback')
    expect(refusalOf(url, loopback)).toBeNull()
  })

  it.each(PRIVATE)('SSRF-1: reaches the private host %s only where that is allowed', (url) => {
    expect(refusalOf(url, nothing)).not.toBeNull()
    expect(refusalOf(url, loopback)).not.toBeNull()
    expect(refusalOf(url, privateNetwork)).toBeNull()
  })

  it.each(PUBLIC)('reaches %s', (url) => {
    expect(refusalOf(url, nothing)).toBeNull()
  })

  it('speaks plain http in development only', () => {
    expect(refusalOf('http://example.com/', nothing)).toBe('scheme')
    expect(refusalOf('http://10.0.0.1/', privateNetwork)).toBe('scheme')
    expect(refusalOf('http://127.0.0.1:1/', loopback)).toBeNull()
  })
})

describe('addressRefusal', () => {
  it.each([
    'fe80::1%eth0',
    '::1%lo',
    '8.8.8.8%1',
    '127.1',
    '0x7f.0.0.1',
    '010.0.0.1',
    '',
    'example.com',
    '::g',
    '1.2.3',
    '[::1]',
  ])('SSRF-1: takes no lax, scoped or broken spelling for an address: %s', (text) => {
    expect(addressRefusal(text, everything)).not.toBeNull()
  })

  it('names the rule', () => {
    expect(addressRefusal('169.254.169.254', everything)).toBe('link_local')
    expect(addressRefusal('100.100.100.200', everything)).toBe('metadata')
    expect(addressRefusal('10.0.0.1', nothing)).toBe('private')
    expect(addressRefusal('100.64.0.1', nothing)).toBe('carrier_grade_nat')
  })
})
