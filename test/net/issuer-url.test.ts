import { describe, expect, it } from 'vitest'
import { issuerUrlMistake } from '../../functions/net/key-sets.ts'

const production = { privateNetwork: false, loopback: false }
const development = { privateNetwork: false, loopback: true }

describe('issuerUrlMistake', () => {
  it.each([
    'https://token.actions.githubusercontent.com',
    'https://accounts.google.com',
    'https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0',
    'https://oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789',
    'https://issuer.example/',
    'https://issuer.example:8443/tenant/',
    'https://app.terraform.io',
    'https://oidc.vercel.com/my_team~x',
  ])('JW-02: takes %s', (url) => {
    expect(issuerUrlMistake(url, production)).toBeNull()
  })

  it.each([
    ['scheme', 'http://issuer.example'],
    ['scheme', 'ftp://issuer.example'],
    ['not_canonical', 'HTTPS://issuer.example'],
    ['not_canonical', 'https://Issuer.example'],
    ['not_canonical', 'https://issuer.example:443'],
    ['not_canonical', 'https:issuer.example'],
    ['not_canonical', 'https:///issuer.example'],
    ['userinfo', 'https://user@issuer.example'],
    ['userinfo', 'https://issuer.example@evil.test'],
    ['query', 'https://issuer.example?x=1'],
    ['query', 'https://issuer.example/?'],
    ['fragment', 'https://issuer.example/controllablepath#'],
    ['fragment', 'https://issuer.example#x'],
    ['not_canonical', 'https://issuer.example/a/../b'],
    ['not_canonical', 'https://issuer.example/./a'],
    ['not_canonical', 'https://issuer.example/a/..'],
    ['path', 'https://issuer.example//a'],
    ['path', 'https://issuer.example/a//b'],
    ['path', 'https://issuer.example/a/%2e%2e/b'],
    ['path', 'https://issuer.example/a%2Fb'],
    ['path', 'https://issuer.example\\@evil.test'.replace('@', '/')],
    ['not_ascii', 'https://issuеr.example'],
    ['not_ascii', 'https://１２７.０.０.１'],
    ['not_ascii', 'https://issuer.example/ a'],
    ['not_ascii', 'https://issuer.example\n'],
    ['not_ascii', ''],
    ['too_long', `https://issuer.example/${'a'.repeat(240)}`],
    ['not_a_url', 'issuer.example'],
    ['not_a_url', 'https://'],
    ['trailing_dot', 'https://issuer.example.'],
    ['loopback', 'https://127.0.0.1'],
    ['loopback', 'https://localhost'],
    ['loopback', 'https://0x7f.1'],
    ['link_local', 'https://169.254.169.254'],
    ['metadata', 'https://metadata.google.internal'],
    ['private', 'https://10.0.0.1'],
    ['private', 'https://[::ffff:10.0.0.1]'],
  ])('JW-02: says %s for %s', (mistake, url) => {
    expect(issuerUrlMistake(url, production)).toBe(mistake)
  })

  it('takes http and the loopback in development only', () => {
    expect(issuerUrlMistake('http://127.0.0.1:8080', production)).toBe('scheme')
    expect(issuerUrlMistake('http://127.0.0.1:8080', development)).toBeNull()
    expect(issuerUrlMistake('http://localhost:8080/tenant', development)).toBeNull()
    expect(issuerUrlMistake('http://169.254.169.254', development)).toBe('link_local')
  })
})
