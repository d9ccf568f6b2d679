// `sallyport exchange` with the AWS credentials that a workload finds around it.
import { describe, expect, it } from 'vitest'
import { run } from '../../functions/cli/program.ts'
import { readSignature } from '../fakes/sigv4.ts'
import { cli } from './rig.ts'

const BROKER = 'https://broker.example'
const KEYS = { AWS_ACCESS_KEY_ID: 'ASIAENV0000000000000', AWS_SECRET_ACCESS_KEY: 'env-secret' }
const VENDED = { AccessKeyId: 'ASIAVENDED0000000000', SecretAccessKey: 'vended', Token: 'tok/en=' }

type Call = {
  readonly method: string
  readonly url: string
  readonly headers: Headers
  readonly body: string
}

/** Runs an exchange in a world where only these URLs answer. */
async function exchange(
  env: Readonly<Record<string, string>>,
  answers: Readonly<Record<string, (call: Call) => Response | Promise<Response>>>,
  ...args: readonly string[]
) {
  const calls: Call[] = []
  const out: string[] = []
  const err: string[] = []
  const rig = cli({ SALLYPORT_URL: BROKER, ...env })
  rig.files['/token'] = 'container-token\n'
  const io = {
    ...rig.io(
      (text) => void out.push(text),
      (text) => void err.push(text),
    ),
    async fetch(input: string | URL | Request, init?: RequestInit) {
      const request = new Request(input, init)
      const { method, url, headers } = request
      const call = { method, url, headers, body: await request.text() }
      calls.push(call)
      const answer = answers[`${method} ${url}`] ?? grantIfBroker(url)
      if (answer === undefined) throw new TypeError('fetch failed')
      return answer(call)
    },
  }
  const exitCode = await run(['exchange', '--audience', 'crm', ...args], io)
  return { exitCode, calls, text: [...out, ...err].join('\n') }
}

function grantIfBroker(url: string) {
  if (url !== `${BROKER}/token-exchange`) return undefined
  return () => Response.json({ access_token: 'handle', session: { targets: {} } })
}

/** The attestation that reached the broker. */
function presented(calls: readonly Call[]) {
  const form = new URLSearchParams(calls.at(-1)?.body)
  const envelope: { url: string; body: string; headers: Record<string, string[]> } = JSON.parse(
    Buffer.from(form.get('subject_token') ?? '', 'base64url').toString(),
  )
  const { host } = new URL(envelope.url)
  const headers = Object.entries(envelope.headers).map(([name, [value = '']]): [string, string] => [
    name,
    value,
  ])
  const signature = readSignature({
    method: 'POST',
    target: '/',
    headers: [...headers, ['host', host]],
    body: envelope.body,
  })
  return { form, envelope, signature, headers: new Map(headers) }
}

describe('sallyport exchange --aws', () => {
  it('AW-08 signs for the broker that the user named, with the keys of the environment', async () => {
    const env = { ...KEYS, AWS_REGION: 'eu-central-1' }
    const { exitCode, calls, text } = await exchange(env, {}, '--aws')
    expect(exitCode).toBe(0)
    const { form, envelope, signature, headers } = presented(calls)
    expect(form.get('subject_token_type')).toBe('urn:sallyport:token-type:aws-sigv4')
    expect(envelope.url).toBe('https://sts.eu-central-1.amazonaws.com/')
    expect(headers.get('x-sallyport-server-id')).toBe(BROKER)
    expect(signature?.claimed).toBe(signature?.compute(KEYS.AWS_SECRET_ACCESS_KEY))
    expect(signature?.signedHeaders).toEqual([
      'host',
      'x-amz-date',
      'x-sallyport-nonce',
      'x-sallyport-server-id',
    ])
    expect(JSON.stringify(calls) + text).not.toContain(KEYS.AWS_SECRET_ACCESS_KEY)
    expect(calls).toHaveLength(1)
  })

  it('takes the keys of a container endpoint, with its token from a file', async () => {
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/v1/credentials',
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/token',
      AWS_DEFAULT_REGION: 'us-east-1',
    }
    const answers = {
      'GET http://169.254.170.23/v1/credentials': ({ headers }: Call) =>
        headers.get('authorization') === 'container-token'
          ? Response.json(VENDED)
          : new Response(null, { status: 401 }),
    }
    const { calls } = await exchange(env, answers, '--aws')
    const { signature } = presented(calls)
    expect(signature?.claimed).toBe(signature?.compute(VENDED.SecretAccessKey))
    expect(signature?.securityToken).toBe(VENDED.Token)
  })

  it('takes the keys of ECS by its relative URI', async () => {
    const env = { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/x', AWS_REGION: 'us-east-1' }
    const answers = { 'GET http://169.254.170.2/v2/x': () => Response.json(VENDED) }
    expect((await exchange(env, answers, '--aws')).exitCode).toBe(0)
  })

  it.each(['http://evil.example/', 'http://169.254.169.254/', 'file:///etc/passwd', 'x'])(
    'takes no keys from %s',
    async (url) => {
      const env = { AWS_CONTAINER_CREDENTIALS_FULL_URI: url, AWS_REGION: 'us-east-1' }
      const { exitCode, calls } = await exchange(env, {}, '--aws')
      expect(exitCode).toBe(2)
      expect(calls).toEqual([])
    },
  )

  it('takes the keys of the instance, by IMDSv2 alone', async () => {
    const metadata = 'http://169.254.169.254/latest'
    const path = `${metadata}/meta-data/iam/security-credentials/`
    const withToken = (body: string) => (call: Call) =>
      call.headers.get('x-aws-ec2-metadata-token') === 'imds'
        ? new Response(body)
        : new Response(null, { status: 401 })
    const answers = {
      [`PUT ${metadata}/api/token`]: () => new Response('imds'),
      [`GET ${path}`]: withToken('agent-role'),
      [`GET ${path}agent-role`]: withToken(JSON.stringify(VENDED)),
    }
    const { calls } = await exchange({}, answers, '--aws', '--aws-region', 'us-west-2')
    const { envelope, signature } = presented(calls)
    expect(envelope.url).toBe('https://sts.us-west-2.amazonaws.com/')
    expect(signature?.claimed).toBe(signature?.compute(VENDED.SecretAccessKey))
  })

  it('says what to do where there are none, and asks no metadata where that is switched off', async () => {
    const env = { AWS_REGION: 'us-east-1', AWS_EC2_METADATA_DISABLED: 'true' }
    const { exitCode, calls, text } = await exchange(env, {}, '--aws')
    expect(exitCode).toBe(2)
    expect(calls).toEqual([])
    expect(text).toContain('aws configure export-credentials')
  })

  it('asks for a region that AWS has, and for one source of the attestation', async () => {
    expect((await exchange(KEYS, {}, '--aws')).text).toContain('AWS_REGION')
    expect((await exchange({ ...KEYS, AWS_REGION: 'moon-1' }, {}, '--aws')).exitCode).toBe(2)
    const both = ['--aws', '--subject-token-file', '-']
    expect((await exchange({ ...KEYS, AWS_REGION: 'us-east-1' }, {}, ...both)).exitCode).toBe(2)
    expect((await exchange(KEYS, {})).exitCode).toBe(2)
  })
})

describe('sallyport exchange --aws-web-identity', () => {
  const sts = 'POST https://sts.eu-central-1.amazonaws.com/'
  const env = { ...KEYS, AWS_REGION: 'eu-central-1' }

  it('AO-01 asks STS for a token for this broker, and presents it as a JWT', async () => {
    const answers = {
      [sts]: ({ body, headers }: Call) => {
        const asked = new URLSearchParams(body)
        expect(asked.get('Audience.member.1')).toBe(BROKER)
        expect(asked.get('SigningAlgorithm')).toBe('ES384')
        const target = '/'
        const lines = [...headers, ['host', 'sts.eu-central-1.amazonaws.com']] as [string, string][]
        const signature = readSignature({ method: 'POST', target, headers: lines, body })
        expect(signature?.claimed).toBe(signature?.compute(KEYS.AWS_SECRET_ACCESS_KEY))
        const result = { WebIdentityToken: 'a.b.c', Expiration: 1 }
        return Response.json({
          GetWebIdentityTokenResponse: { GetWebIdentityTokenResult: result },
        })
      },
    }
    const { exitCode, calls } = await exchange(env, answers, '--aws-web-identity')
    expect(exitCode).toBe(0)
    const form = new URLSearchParams(calls.at(-1)?.body)
    expect(form.get('subject_token')).toBe('a.b.c')
    expect(form.get('subject_token_type')).toBe('urn:ietf:params:oauth:token-type:jwt')
  })

  it('AO-01 says why STS gave none', async () => {
    const Error = { Code: 'OutboundWebIdentityFederationDisabled' }
    const answers = { [sts]: () => Response.json({ Error }, { status: 403 }) }
    const { exitCode, text } = await exchange(env, answers, '--aws-web-identity')
    expect(exitCode).toBe(1)
    expect(text).toContain(Error.Code)
    expect((await exchange(env, {}, '--aws-web-identity')).exitCode).toBe(3)
  })
})
