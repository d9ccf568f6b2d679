import { AwsV4Signer } from 'aws4fetch'
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import {
  ACCOUNT,
  ROLE,
  USER,
  ROLE_ARN,
  HOST,
  ENDPOINT,
  BODY,
  sts,
  typeOf,
  policy,
  dateOf,
  token,
  verify,
  type Signing,
  signed,
  presigned,
  refusedLocally,
} from './aws-iam-setup.ts'
import { BROKER, NOW, outcome } from './setup.ts'

describe('signed GetCallerIdentity, header form', () => {
  it('makes an identity of what STS says, and of nothing the caller wrote', async () => {
    const envelope = await signed()
    const result = await verify(envelope)
    const { signature = '' } = /Signature=(?<signature>[0-9a-f]+)/.exec(
      String(envelope.headers['authorization']),
    )?.groups ?? { signature: '' }
    expect(result).toEqual({
      ok: true,
      value: {
        method: 'aws',
        methodType: 'aws-iam',
        kind: 'workload',
        subject: ROLE_ARN,
        claims: {
          account: ACCOUNT,
          arn: ROLE.arn,
          user_id: ROLE.userId,
          unique_id: 'AROAEXAMPLE000000000',
          partition: 'aws',
          region: 'eu-central-1',
          role: ROLE_ARN,
          session_name: 'i-0abc',
        },
        act: null,
        expiresAt: null,
        attestationHash: createHash('sha256').update(token(envelope)).digest('hex'),
        singleUse: {
          key: createHash('sha256')
            .update(JSON.stringify(['aws-iam', signature]))
            .digest('hex'),
          expiresAt: NOW + 900 + 60,
        },
        evidence: {
          access_key_id: ROLE.accessKeyId,
          signed_at: NOW,
          sts: 'https://sts.eu-central-1.amazonaws.com',
        },
      },
    })
  })

  it('takes a user by its ARN with its path', async () => {
    const result = await verify(await signed({ by: USER }))
    expect(result.ok && result.value.subject).toBe(USER.arn)
    expect(result.ok && result.value.claims).not.toHaveProperty('role')
  })

  it('AW-01 RB-08 RB-09 sends a request of its own: constants and the fields of the signature', async () => {
    const envelope = await signed()
    const headers = { ...envelope.headers, 'User-Agent': ['evil/1.0'] }
    expect(outcome(await verify({ ...envelope, headers }))).toBe('accepted')
    const [request] = sts.seen
    expect(request?.method).toBe('POST')
    expect(request?.url.href).toBe(ENDPOINT)
    expect(Object.fromEntries(request?.headers ?? [])).toEqual({
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'sallyport',
      authorization: String(envelope.headers['authorization']),
      'content-type': 'application/x-www-form-urlencoded',
      'x-amz-date': dateOf(NOW),
      'x-amz-security-token': ROLE.sessionToken,
      'x-sallyport-server-id': BROKER,
    })
    expect(request?.reach).toEqual({ privateNetwork: true, loopback: false })
    expect(sts.seen).toHaveLength(1)
  })

  const spellings: readonly (readonly [string, Signing])[] = [
    ['the other order of the body', { body: 'Version=2011-06-15&Action=GetCallerIdentity' }],
    [
      'a signed content type with a charset',
      {
        headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
        allHeaders: true,
      },
    ],
    [
      'a signed content length and content hash',
      {
        headers: {
          'content-length': String(BODY.length),
          'x-amz-content-sha256': createHash('sha256').update(BODY).digest('hex'),
        },
        allHeaders: true,
      },
    ],
    [
      'another region of the method',
      { url: 'https://sts.us-east-1.amazonaws.com/', region: 'us-east-1' },
    ],
    ['a FIPS host', { url: 'https://sts-fips.us-east-1.amazonaws.com/', region: 'us-east-1' }],
    ['a dual-stack host', { url: 'https://sts.eu-central-1.api.aws/' }],
    ['a nonce', { headers: { 'x-sallyport-nonce': 'c29tZSByYW5kb20gdGV4dA' } }],
    ['a signature of 300 seconds ago', { at: NOW - 300 }],
    ['a signature of 60 seconds ahead', { at: NOW + 60 }],
  ]
  it.each(spellings)('takes %s', async (_name, signing) => {
    expect(outcome(await verify(await signed(signing)))).toBe('accepted')
  })

  const hosts = [
    'https://sts.us-east-1.amazonaws.com.evil.com/',
    'https://sts.amazonaws.com@evil/',
    'https://STS.EU-CENTRAL-1.AMAZONAWS.COM/',
    'https://sts.eu-central-1.amazonaws.com:444/',
    'https://sts.eu-central-1.amazonaws.com:443/',
    'https://sts.eu-central-1.amazonaws.com./',
    'https://sts.evil-1.amazonaws.com/',
    'https://user:pw@sts.eu-central-1.amazonaws.com/',
    'https://52.94.5.1/',
    'https://[::1]/',
    'https://169.254.169.254/',
    'https://localhost/',
    'https://evil.com/',
    'https://google.com',
    'http://sts.eu-central-1.amazonaws.com/',
    'ftp://sts.eu-central-1.amazonaws.com/',
    '//sts.eu-central-1.amazonaws.com/',
    'https://sts.eu-central-1.amazonaws.com/abc',
    'https://sts.eu-central-1.amazonaws.com//',
    'https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity',
    'https://sts.eu-central-1.amazonaws.com/#',
    'https://sts.eu-central-1.amazonaws.com\\@evil.com/',
    'https://sts.eu-central-1%2eamazonaws.com/',
    'https://sts.eu-central-1.amazonaws.com/\r\nX: y',
    'https://sts.us-east-1.evil.com/#.amazonaws.com/',
    'https://sts.amazonaws.com/',
    'https://sts.ap-south-1.amazonaws.com/',
    'https://sts.cn-north-1.amazonaws.com/',
    'https://sts.cn-north-1.amazonaws.com.cn/',
    'https://iam.amazonaws.com/',
    ':ab:cd.af:/asda',
    '',
  ]
  it.each(hosts)('AW-02 RB-08 AWS-1 refuses the endpoint %j, and nothing leaves', async (url) => {
    expect(await refusedLocally({ ...(await signed()), url })).toBe('claim_mismatch')
  })

  it('AW-02 the global endpoint counts only where aws-global is listed', async () => {
    const envelope = await signed({ url: 'https://sts.amazonaws.com/', region: 'us-east-1' })
    expect(await refusedLocally(envelope)).toBe('claim_mismatch')
    expect(outcome(await verify(envelope, { regions: ['aws-global'] }))).toBe('accepted')
    const regional = await signed({
      url: 'https://sts.us-east-1.amazonaws.com/',
      region: 'us-east-1',
    })
    sts.seen.length = 0
    expect(await refusedLocally(regional, { regions: ['aws-global'] })).toBe('claim_mismatch')
  })

  const scopes: readonly (readonly [string, Signing, string])[] = [
    ['another service', { service: 's3' }, 'claim_mismatch'],
    ['the service of the vectors', { service: 'service' }, 'claim_mismatch'],
    ['a region other than the host', { region: 'us-east-1' }, 'claim_mismatch'],
    ['a region of another partition', { region: 'cn-north-1' }, 'claim_mismatch'],
    ['a region with a host in it', { region: 'us-east-1.evil.com#' }, 'claim_mismatch'],
    ['a region with an encoded dot', { region: 'us-east-1%2eevil' }, 'claim_mismatch'],
    ['a region with a slash', { region: 'us-east-1.evil.com/#' }, 'malformed'],
  ]
  it.each(scopes)('AW-03 RB-08 refuses a scope with %s', async (_name, signing, expected) => {
    expect(await refusedLocally(await signed(signing))).toBe(expected)
  })

  it.each([
    ['AKIDEXAMPLE', 'eu-central-1/sts/aws4_request'],
    [ROLE.accessKeyId.toLowerCase(), 'eu-central-1/sts/aws4_request'],
    [ROLE.accessKeyId, 'eu-central-1/sts/aws4_request/x'],
    [ROLE.accessKeyId, 'eu-central-1/sts/aws5_request'],
    [ROLE.accessKeyId, 'eu-central-1/sts'],
    [`${ROLE.accessKeyId}/x`, 'eu-central-1/sts/aws4_request'],
  ])('AW-03 refuses the credential %s/…/%s', async (id, rest) => {
    const envelope = await signed()
    const day = dateOf(NOW).slice(0, 8)
    const authorization = String(envelope.headers['authorization']).replace(
      /Credential=[^,]+/,
      `Credential=${id}/${day}/${rest}`,
    )
    const headers = { ...envelope.headers, authorization: [authorization] }
    expect(await refusedLocally({ ...envelope, headers })).toBe('malformed')
  })

  it('AW-03 RB-08 refuses a scope without a region', async () => {
    const envelope = await signed()
    const authorization = String(envelope.headers['authorization']).replace('eu-central-1', '')
    const headers = { ...envelope.headers, authorization: [authorization] }
    expect(await refusedLocally({ ...envelope, headers })).toBe('claim_mismatch')
  })

  it('AW-03 the day of the scope is the day of the date', async () => {
    const envelope = await signed()
    const headers = { ...envelope.headers, 'x-amz-date': [dateOf(NOW - 86_400)] }
    expect(await refusedLocally({ ...envelope, headers })).toBe('claim_mismatch')
  })

  it.each([
    'Action=AssumeRoleWithWebIdentity&Version=2011-06-15',
    'Version=2011-06-15',
    'Action=GetCallerIdentity',
    'Action=GetCallerIdentity&Action=GetCallerIdentity&Version=2011-06-15',
    'Action=GetCallerIdentity&Version=2011-06-15&action=AssumeRole',
    'Action=GetCallerIdentity&Version=2011-06-15&Foo=1',
    'Action=GetCallerIdentity&Version=2011-06-15&',
    'Action=GetCallerIdentity&Version=2011-06-16',
    'Action=Get%43allerIdentity&Version=2011-06-15',
    'action=GetCallerIdentity&version=2011-06-15',
    '',
    '__proto__',
  ])('AW-04 AWS-1 RB-10 refuses the body %j', async (body) => {
    expect(await refusedLocally(await signed({ body }))).toBe('claim_mismatch')
  })

  it.each(['GET', 'PUT', 'post', ''])('AW-04 refuses the method "%s"', async (method) => {
    expect(await refusedLocally({ ...(await signed()), method })).toBe('claim_mismatch')
  })

  const strange = [
    ['Accept', 'application/json'],
    ['accept', 'text/xml'],
    ['X-Amz-Target', 'AWSSecurityTokenServiceV20110615.AssumeRole'],
    ['Content-Encoding', 'gzip'],
    ['Transfer-Encoding', 'chunked'],
    ['X-Forwarded-Host', 'evil.com'],
    ['Connection', 'close'],
    ['Cookie', 'a=b'],
    ['Expect', '100-continue'],
    ['X-HTTP-Method-Override', 'PUT'],
    ['X-Vault-AWS-IAM-Server-ID', BROKER],
    ['X-K8s-Aws-Id', BROKER],
    ['X-Amz-Expires', '60'],
    [':authority', 'evil.com'],
    ['', 'x'],
    ['__proto__', 'x'],
  ] as const
  it.each(strange)('AW-06 RB-09 refuses the header %s: %s, signed or not', async (name, value) => {
    const envelope = await signed()
    const withHeader = { ...envelope, headers: { ...envelope.headers, [name]: [value] } }
    expect(await refusedLocally(withHeader)).toBe('header_not_allowed')
    if (name === '' || name.startsWith(':') || name === '__proto__') return
    const alsoSigned = await signed({ headers: { [name]: value }, allHeaders: true })
    expect(await refusedLocally(alsoSigned)).toBe('header_not_allowed')
  })

  const values: readonly (readonly [string, readonly string[], string])[] = [
    ['host', ['evil.com'], 'claim_mismatch'],
    ['host', [HOST, 'evil.com'], 'malformed'],
    ['Host', [`${HOST}\r\nX: y`], 'malformed'],
    ['content-type', ['application/json'], 'claim_mismatch'],
    ['content-length', ['0'], 'claim_mismatch'],
    ['content-length', ['043'], 'claim_mismatch'],
    ['x-sallyport-nonce', ['c29tZSByYW5kb20gdGV4dA'], 'header_not_allowed'],
    ['x-amz-security-token', ['a b'], 'malformed'],
    ['x-amz-security-token', [''], 'malformed'],
    ['x-amz-security-token', ['x'.repeat(4097)], 'malformed'],
    ['x-amz-security-token', ['a', 'b'], 'malformed'],
    ['x-amz-date', [], 'malformed'],
    ['x-amz-date', [dateOf(NOW), dateOf(NOW)], 'malformed'],
    ['user-agent', ['a\r\nX-Evil: 1'], 'malformed'],
    ['user-agent', ['\u0000'], 'malformed'],
    ['authorization', ['AWS4-HMAC-SHA256'], 'malformed'],
    ['authorization', ['Bearer x'], 'malformed'],
  ]
  it.each(values)('AW-06 RB-09 AWS-1 refuses %s: %j', async (name, list, expected) => {
    const envelope = await signed()
    const headers = { ...envelope.headers, [name]: list }
    expect(await refusedLocally({ ...envelope, headers })).toBe(expected)
  })

  it('RB-09 a list, and nothing that looks like one, holds the one value of a header', async () => {
    const envelope = await signed()
    for (const list of [BROKER, [[BROKER]], { '0': BROKER }, [1], null, true]) {
      const headers = { ...envelope.headers, 'x-sallyport-server-id': list }
      expect(await refusedLocally({ ...envelope, headers })).toBe('malformed')
    }
    const lines = Object.entries(envelope.headers)
    expect(await refusedLocally({ ...envelope, headers: lines })).toBe('malformed')
    const again = { ...envelope, headers: token(envelope.headers) }
    expect(await refusedLocally(again)).toBe('malformed')
  })

  it('RB-09 RB-10 refuses a header twice, in whatever case, and a member twice', async () => {
    const envelope = await signed()
    const inOtherCase = {
      ...envelope,
      headers: { ...envelope.headers, 'X-Amz-Date': envelope.headers['x-amz-date'] },
    }
    expect(await refusedLocally(inOtherCase)).toBe('malformed')
    const text = JSON.stringify(envelope)
    for (const twice of [
      text.replace('{"method"', '{"method":"POST","method"'),
      text.replace('"headers":{', '"headers":{"host":["a"],"host":["b"],'),
      text.replace('"body"', '"url":"https://evil.com/","body"'),
    ]) {
      expect(await refusedLocally(twice)).toBe('malformed')
    }
  })

  it('AW-07 RB-09 refuses a second Authorization, and SignedHeaders that come twice', async () => {
    const envelope = await signed()
    const [authorization] = envelope.headers['authorization'] as [string]
    const claims = 'SignedHeaders=host;x-amz-date;x-sallyport-server-id'
    for (const list of [
      [authorization, authorization],
      [`${authorization}, ${authorization}`],
      [authorization.replace('Signature=', `${claims}, Signature=`)],
      [`${authorization} `],
      [` ${authorization}`],
      [authorization.replace(', ', ',  ')],
      [authorization.replace('AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA1')],
      [authorization.replace('AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256')],
      [authorization.replace(/[0-9a-f]{64}$/, (hex) => hex.toUpperCase())],
      [authorization.slice(0, -1)],
      [`${authorization}00`],
    ]) {
      const headers = { ...envelope.headers, authorization: list }
      expect(await refusedLocally({ ...envelope, headers })).toBe('malformed')
    }
  })

  const lists: readonly (readonly [string, string])[] = [
    ['x-amz-date;host;x-amz-security-token;x-sallyport-server-id', 'malformed'],
    ['host;host;x-amz-date;x-amz-security-token;x-sallyport-server-id', 'malformed'],
    ['Host;x-amz-date;x-amz-security-token;x-sallyport-server-id', 'malformed'],
    ['host;x-amz-date;x-amz-security-token', 'missing_claim'],
    ['host;x-amz-security-token;x-sallyport-server-id', 'missing_claim'],
    ['x-amz-date;x-amz-security-token;x-sallyport-server-id', 'missing_claim'],
    ['host;x-amz-date;x-sallyport-server-id', 'header_not_allowed'],
    ['accept;host;x-amz-date;x-amz-security-token;x-sallyport-server-id', 'header_not_allowed'],
    ['host;user-agent;x-amz-date;x-amz-security-token;x-sallyport-server-id', 'header_not_allowed'],
    [
      'host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-sallyport-server-id',
      'missing_claim',
    ],
    ['host;;x-amz-date;x-amz-security-token;x-sallyport-server-id', 'malformed'],
    ['', 'malformed'],
  ]
  it.each(lists)('AW-07 AWS-1 refuses SignedHeaders=%s as %s', async (list, expected) => {
    const envelope = await signed()
    const authorization = String(envelope.headers['authorization']).replace(
      /SignedHeaders=[^,]+/,
      `SignedHeaders=${list}`,
    )
    const headers = { ...envelope.headers, authorization: [authorization] }
    expect(await refusedLocally({ ...envelope, headers })).toBe(expected)
  })

  it.each([
    'https://other-broker.example',
    `${BROKER}/`,
    BROKER.toUpperCase(),
    `${BROKER} `,
    'https://broker.example.evil.com',
    '',
  ])('AW-08 refuses a request that was signed for %j', async (id) => {
    const envelope = await signed()
    const headers = { ...envelope.headers, 'x-sallyport-server-id': [id] }
    expect(await refusedLocally({ ...envelope, headers })).toBe('wrong_audience')
  })

  it('AW-08 refuses a request without a server id, or with one that is not signed', async () => {
    const envelope = await signed()
    const { 'x-sallyport-server-id': id, ...rest } = envelope.headers
    expect(await refusedLocally({ ...envelope, headers: rest })).toBe('missing_claim')
    const signer = new AwsV4Signer({
      method: 'POST',
      url: ENDPOINT,
      body: BODY,
      accessKeyId: USER.accessKeyId,
      secretAccessKey: USER.secretAccessKey,
      service: 'sts',
      region: 'eu-central-1',
      datetime: dateOf(NOW),
    })
    const headers = Object.fromEntries(
      [...(await signer.sign()).headers].map(([name, value]) => [name, [value]]),
    )
    expect(
      await refusedLocally({
        ...envelope,
        headers: { ...headers, 'x-sallyport-server-id': id },
      }),
    ).toBe('missing_claim')
  })

  const times: readonly (readonly [string, number, string])[] = [
    ['16 minutes ago', NOW - 960, 'expired'],
    ['6 minutes ago', NOW - 360, 'expired'],
    ['301 seconds ago', NOW - 301, 'expired'],
    ['61 seconds ahead', NOW + 61, 'not_yet_valid'],
    ['10 minutes ahead', NOW + 600, 'not_yet_valid'],
  ]
  it.each(times)('AW-09 refuses what was signed %s', async (_name, at, expected) => {
    expect(await refusedLocally(await signed({ at }))).toBe(expected)
  })

  it.each(['xxxxxxx', '20270115', '20270115T08000Z', '20270230T080000Z', '20270115T250000Z', ''])(
    'AW-09 AWS-1 refuses the date "%s"',
    async (date) => {
      const envelope = await signed()
      const headers = { ...envelope.headers, 'x-amz-date': [date] }
      expect(await refusedLocally({ ...envelope, headers })).toBe('malformed')
    },
  )

  it.each(['', 'short', 'x'.repeat(65), 'c29tZSByYW5kb20 dGV4dA', 'c29tZSByYW5kb20+dGV4dA'])(
    'RB-09 refuses the nonce "%s"',
    async (nonce) => {
      const envelope = await signed({ headers: { 'x-sallyport-nonce': nonce } })
      expect(await refusedLocally(envelope)).toBe('malformed')
    },
  )

  it('AWS-2 two requests of one second are two uses where each has its nonce', async () => {
    const uses = ['c29tZSByYW5kb20gdGV4dA', 'b3RoZXIgcmFuZG9tIHRleHQ'].map(async (nonce) => {
      const result = await verify(await signed({ headers: { 'x-sallyport-nonce': nonce } }))
      return result.ok ? result.value.singleUse?.key : null
    })
    const [first, second] = await Promise.all(uses)
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    expect(second).not.toBe(first)
  })

  it('AW-09 AWS-2 RB-06 the use is of the signature: not of the envelope, nor of the method', async () => {
    const envelope = await signed()
    const reordered = {
      body: envelope.body,
      url: ENDPOINT,
      method: 'POST',
      headers: envelope.headers,
    }
    const first = await verify(envelope)
    const second = await verify(reordered)
    const other = typeOf().compile(policy({}, 'other'))
    const third = await other.verify({ tokenType: TOKEN_TYPES.awsSigV4, token: token(envelope) })
    const keys = [first, second, third].map((result) => result.ok && result.value.singleUse?.key)
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^[0-9a-f]{64}$/)
    const fresh = await verify(await signed({ at: NOW - 1 }))
    expect(fresh.ok && fresh.value.singleUse?.key).not.toBe(keys[0])
  })
})

describe('signed GetCallerIdentity, presigned form', () => {
  const asEnvelope = (url: string) => ({ presigned_url: url })

  it('AW-05 takes what EKS tooling makes, and sends its own server id', async () => {
    expect(outcome(await verify(asEnvelope(await presigned())))).toBe('accepted')
    const [request] = sts.seen
    expect(request?.method).toBe('GET')
    expect(request?.url.origin + String(request?.url.pathname)).toBe(ENDPOINT)
    expect(Object.fromEntries(request?.headers ?? [])).toEqual({
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'sallyport',
      'x-k8s-aws-id': BROKER,
    })
    expect(request?.body).toBeNull()
  })

  it('AW-05 takes a user without a session token', async () => {
    expect(outcome(await verify(asEnvelope(await presigned({ by: USER }))))).toBe('accepted')
  })

  it('AW-08 a URL that was signed for another cluster is refused by STS', async () => {
    const url = await presigned({ headers: { 'x-k8s-aws-id': 'other-cluster' } })
    expect(outcome(await verify(asEnvelope(url)))).toBe('bad_signature')
    const forUs = sts.seen[0]?.headers.find(([name]) => name === 'x-k8s-aws-id')
    expect(forUs?.[1]).toBe(BROKER)
  })

  it('AW-08 AWS-1 refuses a URL that signs no server id', async () => {
    const url = await presigned()
    for (const list of [
      'host',
      'host%3Bx-k8s-aws-i',
      'abc%3Bx-k8s-aws-i%3Bdef',
      'x-k8s-aws-id',
      'host%3Bx-amz-date%3Bx-k8s-aws-id',
    ]) {
      const changed = url.replace(/SignedHeaders=[^&]+/, `SignedHeaders=${list}`)
      expect(await refusedLocally(asEnvelope(changed))).toBe('claim_mismatch')
    }
  })

  it.each([
    (url: string) => url.replace('Action=GetCallerIdentity', 'Action=AssumeRole'),
    (url: string) => url.replace('Action=GetCallerIdentity&', ''),
    (url: string) => url.replace('2011-06-15', '2011-06-14'),
    (url: string) => url.replace('AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA512'),
    (url: string) => url.replace('https://', 'http://'),
    (url: string) => url.replace(HOST, 'google.com'),
    (url: string) => url.replace(HOST, `${HOST}.evil.com`),
    (url: string) => url.replace(HOST, `${HOST}@evil.com`),
    (url: string) => url.replace(HOST, `evil.com/${HOST}`),
    (url: string) => url.replace(`${HOST}/`, `${HOST}/abc`),
    (url: string) => url.replace(HOST, 'sts.amazonaws.com'),
    (url: string) => url.replace('%2Fsts%2F', '%2Fs3%2F'),
    (url: string) => url.replace('eu-central-1%2F', 'us-east-1%2F'),
  ])('AW-02 AW-03 AW-05 AWS-1 refuses the changed URL %#', async (change) => {
    const url = await presigned()
    expect(change(url)).not.toBe(url)
    expect(await refusedLocally(asEnvelope(change(url)))).toBe('claim_mismatch')
  })

  it.each([
    (url: string) => `${url}&NoInWhiteList=abc`,
    (url: string) => `${url}&Action=GetCallerIdentity`,
    (url: string) => `${url}&action=GetCallerIdentity`,
    (url: string) => `${url}&ACTION=AssumeRole`,
    (url: string) => `${url}&X-Amz-Expires=60`,
    (url: string) => `${url}&x-amz-expires=60`,
    (url: string) => `${url}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD`,
    (url: string) => url.replace('Action=', '%41ction='),
    (url: string) => `${url}&`,
    (url: string) => `${url}#x`,
    (url: string) => `${url}&Version`,
    (url: string) => url.replace('?', '??'),
    (url: string) => url.replace('X-Amz-Signature=', 'X-Amz-Signature=%zz'),
    (url: string) => url.replace(/%2B/, '+'),
    (url: string) => url.replace(/Signature=\w/, 'Signature=g'),
    (url: string) => url.replace(/Date=[^&]+/, 'Date=xxxxxxx'),
    (url: string) => url.replace(/Security-Token=[^&]+/, `Security-Token=${'x'.repeat(4097)}`),
    (url: string) => url.split('?')[0] ?? '',
    () => 'k8s-aws-v1.aHR0cHM6Ly9zdHM',
    () => 'http://',
    () => '',
  ])('AW-05 AWS-1 RB-10 refuses the malformed URL %#', async (change) => {
    const url = await presigned()
    expect(change(url)).not.toBe(url)
    expect(await refusedLocally(asEnvelope(change(url)))).toBe('malformed')
  })

  it.each(['901', '9999999', '-1', '60.0', '', ' 60', '1e2'])(
    'AW-05 AWS-1 refuses X-Amz-Expires=%s',
    async (expires) => {
      const url = (await presigned()).replace(
        'X-Amz-Expires=60',
        `X-Amz-Expires=${encodeURIComponent(expires)}`,
      )
      expect(await refusedLocally(asEnvelope(url))).toBe('lifetime_too_long')
    },
  )

  it('AW-05 AWS-1 refuses a URL without X-Amz-Expires or X-Amz-Date', async () => {
    const url = await presigned()
    const without = (name: string) => url.replace(new RegExp(`&${name}=[^&]+`), '')
    expect(await refusedLocally(asEnvelope(without('X-Amz-Expires')))).toBe('lifetime_too_long')
    expect(await refusedLocally(asEnvelope(without('X-Amz-Date')))).toBe('missing_claim')
  })

  const ages: readonly (readonly [string, number, string])[] = [
    ['60', 120, 'accepted'],
    ['60', 121, 'expired'],
    ['0', 60, 'accepted'],
    ['900', 300, 'accepted'],
    ['900', 301, 'expired'],
    ['900', -61, 'not_yet_valid'],
  ]
  it.each(ages)(
    'AW-09 X-Amz-Expires=%s at the age of %i s is %s',
    async (expires, age, expected) => {
      const url = await presigned({ expires, at: NOW - age })
      expect(outcome(await verify(asEnvelope(url)))).toBe(expected)
    },
  )

  it('RB-13 refuses both forms at once, and unknown members of either', async () => {
    const url = await presigned()
    const envelope = await signed()
    expect(await refusedLocally({ ...envelope, presigned_url: url })).toBe('malformed')
    expect(await refusedLocally({ presigned_url: url, method: 'GET' })).toBe('malformed')
    expect(await refusedLocally({ ...envelope, arn: ROLE.arn })).toBe('malformed')
    expect(await refusedLocally({ presigned_url: [url] })).toBe('malformed')
  })
})
