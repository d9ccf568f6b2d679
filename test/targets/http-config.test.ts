import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { CredentialPolicy, MaskRule, TargetPolicy } from '../../functions/core/policy.ts'
import { createHttpTarget } from '../../functions/targets/http.ts'

const PUBLIC = { privateNetwork: false, loopback: false }
const unused = () => Promise.reject(new Error('nothing is sent'))

function mistakes(target: Partial<TargetPolicy>, reach = PUBLIC): string[] {
  const type = createHttpTarget({ outbound: unused, reach })
  const base = {
    name: 'crm',
    type: 'http',
    enabled: true,
    config: { base_url: 'https://crm.example' },
  }
  return (type.validate({ ...base, ...target }) ?? []).map(({ path, code }) => `${path} ${code}`)
}

const config = (members: JsonObject): Partial<TargetPolicy> => ({
  config: { base_url: 'https://crm.example', ...members },
})

describe('a target of type http', () => {
  test('as in the documentation has no mistakes', () => {
    expect(
      mistakes({
        labels: ['customer-facing'],
        config: { base_url: 'https://crm.example/api/v1' },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
        mask: [{ json_path: '$..ssn' }, { pattern: '[0-9]{16}', with: '****' }],
        max_response_bytes: 1024,
        max_masked_bytes: 1024,
      }),
    ).toEqual([])
  })

  test('is told every mistake at once', () => {
    expect(
      mistakes({
        config: {
          base_url: 'http://u:p@10.0.0.1/a?b#c',
          surprise: 1,
          timeout_ms: 0,
          on_reflection: 'log',
        },
        credential: { inject: 'header', secret: 'plain', username: 'x' },
        mask: [{}, { json_path: '$[?@.a]' }, { pattern: '(a' }],
        max_response_bytes: 0,
        max_masked_bytes: 1e12,
      }).sort(),
    ).toEqual(
      [
        '/config/surprise unknown_member',
        '/config/base_url unsafe',
        '/config/base_url unsafe',
        '/config/timeout_ms range',
        '/config/on_reflection value',
        '/credential/secret format',
        '/credential/name required',
        '/credential/username unexpected',
        '/mask/0 value',
        '/mask/1/json_path format',
        '/mask/2/pattern unsafe',
        '/max_response_bytes range',
        '/max_masked_bytes range',
      ].sort(),
    )
  })

  test.each([
    'http://crm.example',
    'ftp://crm.example',
    'https://u@crm.example',
    'https://crm.example/?',
    'https://crm.example/#',
    'https://crm.example/a/../b',
    'https://crm.example/%2e',
    'https://crm.example/a;b',
    'https:/crm.example',
    'crm.example',
    '',
    'https://crm.example/a//b',
    'https://crm.example\\a',
  ])('the base %j is refused', (base_url) => {
    expect(mistakes(config({ base_url }))).not.toEqual([])
  })

  test.each([
    'https://169.254.169.254',
    'https://[fd00:ec2::254]',
    'https://metadata.google.internal',
    'https://[64:ff9b::a9fe:a9fe]',
    'https://2852039166',
    'https://localhost.',
    'https://127.0.0.1',
    'https://0x7f.1',
    'https://localhost',
    'https://0.0.0.0',
  ])('SSRF-1 SSRF-5 the base %s is refused even with private_network', (base_url) => {
    expect(mistakes({ ...config({ base_url }), private_network: true })).toContain(
      '/config/base_url unsafe',
    )
  })

  test('may be private only with private_network, and loopback only where the deployment says so', () => {
    const inside = config({ base_url: 'https://10.0.0.5' })
    expect(mistakes(inside)).toEqual(['/config/base_url unsafe'])
    expect(mistakes({ ...inside, private_network: true })).toEqual([])
    const local = config({ base_url: 'http://127.0.0.1:8080' })
    expect(mistakes(local)).toEqual(['/config/base_url unsafe'])
    expect(mistakes(local, { privateNetwork: false, loopback: true })).toEqual([])
  })

  test.each<[Partial<CredentialPolicy>, string[]]>([
    [{ inject: 'bearer' }, []],
    [{ inject: 'bearer', name: 'x' }, ['/credential/name unexpected']],
    [{ inject: 'bearer', username: 'x' }, ['/credential/username unexpected']],
    [{ inject: 'basic', username: 'bot' }, []],
    [{ inject: 'basic' }, ['/credential/username required']],
    [{ inject: 'basic', username: 'a:b' }, ['/credential/username format']],
    [{ inject: 'basic', username: 'a\n' }, ['/credential/username format']],
    [{ inject: 'query' }, ['/credential/name required']],
    [{ inject: 'cookie', name: 'a b' }, ['/credential/name format']],
    [{ inject: 'cookie', name: 'a;b' }, ['/credential/name format']],
    [{ inject: 'header', name: 'X-Api-Key' }, []],
    [{ inject: 'header', name: 'Authorization' }, []],
    [{ inject: 'header', name: 'a\r\nb' }, ['/credential/name format']],
    [{ secret: 'env:CRM_TOKEN' }, []],
    [{ secret: 'hunter2' }, ['/credential/secret format']],
    [{ secret: 'vault' }, ['/credential/secret format']],
    [{ secret: 'sealed:a b' }, ['/credential/secret format']],
    [{ inject: 'magic' as 'bearer' }, ['/credential/inject value']],
    [{ extra: 1 } as Partial<CredentialPolicy>, ['/credential/extra unknown_member']],
  ])('the credential %j has the mistakes %j', (credential, expected) => {
    expect(
      mistakes({ credential: { inject: 'bearer', secret: 'sealed:a', ...credential } }),
    ).toEqual(expected)
  })

  const NEVER_A_CREDENTIAL = [
    'Host',
    'host',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'TE',
    'Upgrade',
    'Keep-Alive',
    'Trailer',
    'Expect',
    'Cookie',
    'Proxy-Authorization',
    'X-Forwarded-For',
    'X_Forwarded_For',
    'Forwarded',
    'Accept-Encoding',
    'Content-Encoding',
    'X-HTTP-Method-Override',
    'Range',
    'Sallyport-Decision',
    'DPoP',
  ]

  test.each(NEVER_A_CREDENTIAL)(
    'MC-08 the header %s never carries a credential and is never opted into',
    (name) => {
      const credential = { inject: 'header', name, secret: 'sealed:a' } as const
      expect(mistakes({ credential })).toEqual(['/credential/name unsafe'])
      const bearer = { inject: 'bearer', secret: 'sealed:a' } as const
      expect(mistakes({ ...config({ request_headers: [name] }), credential: bearer })).toEqual([
        '/config/request_headers/0 unsafe',
      ])
    },
  )

  test.each(['Authorization', 'X-Upstream-Authorization', 'X_Api_Key', 'x-api-key'])(
    'MC-08 the agent may not be allowed to send %s beside a credential in X-Api-Key',
    (name) => {
      const credential = { inject: 'header', name: 'X-Api-Key', secret: 'sealed:a' } as const
      expect(mistakes({ ...config({ request_headers: [name] }), credential })).toEqual([
        '/config/request_headers/0 unsafe',
      ])
    },
  )

  test.each([
    'Set-Cookie',
    'set_cookie',
    'WWW-Authenticate',
    'Alt-Svc',
    'Clear-Site-Data',
    'Content-Length',
    'Transfer-Encoding',
    'Cache-Control',
    'Access-Control-Allow-Origin',
    'X-Accel-Redirect',
    'Sallyport-Decision',
    'Content-Security-Policy',
    'Content-Encoding',
    'Refresh',
  ])('G-3 the header %s is never returned, whatever the target says', (name) => {
    expect(mistakes(config({ response_headers: [name] }))).toEqual([
      '/config/response_headers/0 unsafe',
    ])
  })

  test('may take ranges only where nothing is injected and nothing masked', () => {
    const ranges = config({ request_headers: ['range', 'if-range'] })
    expect(mistakes(ranges)).toEqual([])
    expect(mistakes({ ...ranges, mask: [{ pattern: 'a' }] })).toHaveLength(2)
    expect(
      mistakes({ ...ranges, credential: { inject: 'bearer', secret: 'sealed:a' } }),
    ).toHaveLength(2)
  })

  test.each<[MaskRule, string[]]>([
    [{ json_path: '$.a', pattern: 'a' }, ['/mask/0 value']],
    [{ with: 'x' }, ['/mask/0 value']],
    [{ pattern: '.*' }, ['/mask/0/pattern unsafe']],
    [{ json_path: '$' }, ['/mask/0/json_path format']],
    [{ json_path: '$.a', more: 1 } as MaskRule, ['/mask/0/more unknown_member']],
  ])('the mask %j has the mistakes %j', (rule, expected) => {
    expect(mistakes({ mask: [rule] })).toEqual(expected)
  })

  test.each([
    [{ request_headers: 'x' }, '/config/request_headers type'],
    [{ request_headers: [1] }, '/config/request_headers/0 type'],
    [{ request_headers: ['a b'] }, '/config/request_headers/0 format'],
    [{ response_headers: Array.from({ length: 65 }, () => 'x') }, '/config/response_headers range'],
    [{ max_request_bytes: '1' }, '/config/max_request_bytes type'],
    [{ max_request_bytes: 1.5 }, '/config/max_request_bytes type'],
    [{ timeout_ms: 1e9 }, '/config/timeout_ms range'],
    [{ effects: [{ match: 'x', effect: 'read' }] }, '/config/effects/0/match invalid'],
  ] as const)('%j is refused', (members, expected) => {
    expect(mistakes(config(members))).toEqual([expected])
  })
})
