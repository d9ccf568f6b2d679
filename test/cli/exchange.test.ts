// What `sallyport exchange` and `sallyport exec` ask for and print, against a broker that only answers.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { exportLines } from '../../functions/cli/variables.ts'
import { type BrokerStub, startBrokerStub } from './broker-stub.ts'
import { type Cli, cli } from './rig.ts'

const AWS_TOKEN_TYPE = 'urn:sallyport:token-type:aws-credentials'
const DOCUMENT = {
  Version: 1,
  AccessKeyId: 'ASIAEXAMPLE0000000',
  SecretAccessKey: 'canary+secret/key=',
  SessionToken: 'canary//session+token==',
  Expiration: '2026-11-22T10:15:00Z',
}
const SESSION = { id: 'ses_1', targets: { 'reports-s3': 'http://broker/t/reports-s3' } }
const MINTED = {
  access_token: DOCUMENT.SessionToken,
  issued_token_type: AWS_TOKEN_TYPE,
  token_type: 'N_A',
  expires_in: 900,
  scope: 'read:arn:aws:s3:::reports/*',
  session: SESSION,
  aws_credentials: DOCUMENT,
}
const HANDLE = {
  access_token: 'header.payload.signature',
  token_type: 'Bearer',
  expires_in: 120,
  scope: 'read:GET%20/v1/*',
  session: {
    id: 'ses_2',
    targets: { crm: 'http://broker/t/crm', 'hr-db': 'http://broker/t/hr-db' },
  },
}
const SECRETS = [DOCUMENT.SecretAccessKey, DOCUMENT.SessionToken]

let broker: BrokerStub
let sallyport: Cli

beforeAll(async () => {
  broker = await startBrokerStub()
})
afterAll(() => broker.close())
beforeEach(() => {
  broker.seen.length = 0
  broker.answers = [{ body: MINTED }]
  broker.revocation = 200
  broker.revoked = {}
  sallyport = cli({ SALLYPORT_URL: broker.url })
  sallyport.files['token.jwt'] = 'an.attestation.token\n'
})

const FROM_FILE = ['--subject-token-file', 'token.jwt']
const ASKED = ['exchange', '--audience', 'reports-s3', ...FROM_FILE]

describe('--format credential-process', () => {
  test('SC-10: standard output is exactly the five members; standard error is empty', async () => {
    const ran = await sallyport.run(...ASKED, '--format', 'credential-process', '--purpose', 'x')
    expect(ran).toEqual({ exitCode: 0, err: '', out: JSON.stringify(DOCUMENT) })
    expect(Object.fromEntries(broker.seen[0]?.form ?? [])).toMatchObject({
      requested_token_type: AWS_TOKEN_TYPE,
      audience: 'reports-s3',
      subject_token: 'an.attestation.token',
      intent: 'x',
    })
  })

  test('half a credential is none: nothing is printed, and no part of it in the message', async () => {
    const without = (name: string) => ({ ...DOCUMENT, [name]: undefined })
    for (const document of [
      undefined,
      ...Object.keys(DOCUMENT)
        .filter((name) => name !== 'Version')
        .map(without),
      { ...DOCUMENT, Expiration: 'soon' },
      { ...DOCUMENT, SecretAccessKey: 'two\nlines' },
    ]) {
      broker.answers = [{ body: { ...MINTED, aws_credentials: document } }]
      const ran = await sallyport.run(...ASKED, '--format', 'credential-process')
      expect(ran).toMatchObject({ exitCode: 3, out: '' })
      expect(ran.err).toContain('no')
      for (const secret of SECRETS) expect(ran.err).not.toContain(secret)
    }
  })

  test('a refusal leaves standard output empty and says what to do next', async () => {
    const refused = { error: 'invalid_target', error_description: 'no', decision_id: 'dec_1' }
    broker.answers = [{ status: 400, body: refused }]
    const ran = await sallyport.run(...ASKED, '--format', 'credential-process')
    expect(ran).toMatchObject({ exitCode: 1, out: '' })
    expect(ran.err).toMatch(/refused: invalid_target[^]*dec_1[^]*next: look at the name/)
    broker.answers = [{ status: 503, body: { error: 'temporarily_unavailable' } }]
    expect(await sallyport.run(...ASKED, '--format', 'credential-process')).toMatchObject({
      exitCode: 3,
      out: '',
    })
  })

  test('is of one target and no handle; --json is another format', async () => {
    const format = ['--format', 'credential-process']
    for (const more of [
      ['--audience', 'crm'],
      ['--delivery', 'session'],
      ['--json'],
      ['--dpop=/nonexistent\0/key'],
    ]) {
      expect(await sallyport.run(...ASKED, ...format, ...more)).toMatchObject({ exitCode: 2 })
    }
    expect(broker.seen).toEqual([])
  })
})

describe('--format env', () => {
  test('is what a shell evaluates to the credential, whatever is in it', async () => {
    const ran = await sallyport.run(...ASKED, '--format', 'env')
    expect(ran.exitCode).toBe(0)
    expect(ran.out.split('\n')).toEqual([
      `export AWS_ACCESS_KEY_ID='${DOCUMENT.AccessKeyId}'`,
      `export AWS_SECRET_ACCESS_KEY='${DOCUMENT.SecretAccessKey}'`,
      `export AWS_SESSION_TOKEN='${DOCUMENT.SessionToken}'`,
      `export AWS_CREDENTIAL_EXPIRATION='${DOCUMENT.Expiration}'`,
    ])
    for (const secret of SECRETS) expect(ran.err).not.toContain(secret)
    expect(exportLines({ A: `'; rm -rf "$HOME" #` })).toBe(`export A=''\\''; rm -rf "$HOME" #'`)
  })

  test('--delivery session gives the handle and the base URLs', async () => {
    broker.answers = [{ body: HANDLE }]
    const more = ['--format', 'env', '--delivery', 'session', '--audience', 'crm']
    const ran = await sallyport.run(...ASKED, ...more)
    expect(ran.out.split('\n')).toEqual([
      "export SALLYPORT_HANDLE='header.payload.signature'",
      "export SALLYPORT_TARGET_CRM='http://broker/t/crm'",
      "export SALLYPORT_TARGET_HR_DB='http://broker/t/hr-db'",
    ])
    expect(broker.seen[0]?.form.get('requested_token_type')).toBe(null)
  })
})

test('a server that is none cannot speak to the shell or the terminal through its answer', async () => {
  const targets = { "x='' ; touch owned; y": 'u' }
  broker.answers = [{ body: { ...HANDLE, scope: 'a\u001b]0;owned\u0007', session: { targets } } }]
  const shell = await sallyport.run(...ASKED, '--format', 'env', '--delivery', 'session')
  expect(shell).toMatchObject({ exitCode: 3, out: '' })
  const { err } = await sallyport.run(...ASKED)
  expect(err.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
})

test('--format json is --json, errors included; a credential is printed as no handle', async () => {
  const minted = await sallyport.run(...ASKED, '--format', 'json', '--delivery', 'credential')
  expect(JSON.parse(minted.out)).toEqual(MINTED)
  expect(minted.err).toBe('')
  expect(await sallyport.run(...ASKED, '--delivery', 'credential')).toMatchObject({ exitCode: 2 })
  broker.answers = [{ status: 400, body: { error: 'invalid_scope' } }]
  for (const json of [['--json'], ['--format', 'json'], ['--format=json']]) {
    const ran = await sallyport.run(...ASKED, ...json)
    expect(ran).toEqual({ exitCode: 1, err: '', out: '{"error":"invalid_scope"}' })
  }
})

describe('the attestation', () => {
  test('may be a variable, whose name alone is on the command line', async () => {
    sallyport.env['CI_TOKEN'] = ' from.the.environment\n'
    const ran = await sallyport.run(
      'exchange',
      '--audience',
      'crm',
      '--subject-token-env',
      'CI_TOKEN',
    )
    expect(ran.exitCode).toBe(0)
    expect(broker.seen[0]?.form.get('subject_token')).toBe('from.the.environment')
    const none = await sallyport.run('exchange', '--audience', 'crm', '--subject-token-env', 'NONE')
    expect(none).toMatchObject({ exitCode: 2 })
  })

  test('is one of the sources, never two and never none', async () => {
    for (const sources of [[], ['--aws', '--github-actions'], [...FROM_FILE, '--aws']]) {
      const ran = await sallyport.run('exchange', '--audience', 'crm', ...sources)
      expect(ran).toMatchObject({ exitCode: 2 })
      expect(ran.err).toContain('give one of --subject-token-file')
    }
  })

  test('of a job of GitHub names this broker, and its request token goes nowhere else', async () => {
    const asked: string[] = []
    const io = sallyport.io(() => undefined)
    const { githubToken } = await import('../../functions/cli/github-attestation.ts')
    const fetched: typeof fetch = (input, init) => {
      asked.push(`${String(input)} ${new Headers(init?.headers).get('authorization')}`)
      return Promise.resolve(Response.json({ count: 1, value: 'github.id.token' }))
    }
    const withFetch = { ...io, fetch: fetched }
    await expect(githubToken('https://broker.example', withFetch)).rejects.toThrow(
      'id-token: write',
    )
    sallyport.env['ACTIONS_ID_TOKEN_REQUEST_URL'] = 'https://run.example/token?api-version=2.0'
    sallyport.env['ACTIONS_ID_TOKEN_REQUEST_TOKEN'] = 'canary'
    expect(await githubToken('https://broker.example', withFetch)).toEqual({
      token: 'github.id.token',
      tokenType: 'urn:ietf:params:oauth:token-type:jwt',
    })
    expect(asked).toEqual([
      'https://run.example/token?api-version=2.0&audience=https%3A%2F%2Fbroker.example Bearer canary',
    ])
    sallyport.env['ACTIONS_ID_TOKEN_REQUEST_URL'] = 'http://run.example/token'
    await expect(githubToken('https://broker.example', withFetch)).rejects.toThrow('https')
    sallyport.env['ACTIONS_ID_TOKEN_REQUEST_URL'] = 'https://run.example/token'
    const failing = { ...io, fetch: () => Promise.reject(new Error('canary')) }
    await expect(githubToken('https://broker.example', failing)).rejects.toThrow(/reached/)
  })
})

describe('exec', () => {
  const exec = ['exec', '--audience', 'reports-s3', ...FROM_FILE]

  test('the command gets the credential, no other source of one and no power over the broker', async () => {
    sallyport.child = () => Promise.resolve(7)
    const ran = await sallyport.run(
      ...exec,
      '--delivery',
      'credential',
      '--',
      'aws',
      '--json',
      's3',
    )
    expect(ran).toMatchObject({ exitCode: 7, out: '' })
    const [{ command, set, unset } = { command: [], set: {}, unset: [] }] = sallyport.ran
    expect(command).toEqual(['aws', '--json', 's3'])
    expect(set).toEqual({
      AWS_ACCESS_KEY_ID: DOCUMENT.AccessKeyId,
      AWS_SECRET_ACCESS_KEY: DOCUMENT.SecretAccessKey,
      AWS_SESSION_TOKEN: DOCUMENT.SessionToken,
      AWS_CREDENTIAL_EXPIRATION: DOCUMENT.Expiration,
    })
    expect(unset).toEqual(expect.arrayContaining(['AWS_PROFILE', 'SALLYPORT_ADMIN_TOKEN']))
    expect(ran.err).toContain(
      'session ses_1 is revoked; AWS honours its credential until it expires',
    )
  })

  test('what becomes of the credential is said as the broker says it', async () => {
    const said = async (until: string | null) => {
      broker.revoked = { aws_honours_until: until }
      return (await sallyport.run(...exec, '--delivery', 'credential', '--', 'true')).err
    }
    const end = '2026-11-22T11:15:07Z'
    expect(await said(end)).toContain(`AWS honours its credential until ${end}`)
    expect(await said(null)).toContain('AWS denies its credential from now on')
  })

  test('the session is revoked at the end, also when the command cannot be run', async () => {
    broker.answers = [{ body: HANDLE }]
    await sallyport.run(...exec, '--', 'true')
    sallyport.child = () => Promise.reject(new Error('a bug'))
    await expect(sallyport.run(...exec, '--', 'missing')).rejects.toThrow('a bug')
    const revoked = broker.seen.filter(({ path }) => path === '/revoke')
    expect(revoked.map(({ form }) => form.get('token'))).toEqual([
      HANDLE.access_token,
      HANDLE.access_token,
    ])
    expect(sallyport.ran[0]?.set['SALLYPORT_HANDLE']).toBe(HANDLE.access_token)
  })

  test('a revocation that fails is said, and the exit code stays that of the command', async () => {
    broker.answers = [{ body: HANDLE }]
    broker.revocation = 503
    sallyport.child = () => Promise.resolve(4)
    const ran = await sallyport.run(...exec, '--', 'true')
    expect(ran).toMatchObject({ exitCode: 4 })
    expect(ran.err).toContain('session ses_2 is not revoked and ends by itself in 120 s')
  })

  test('an answer cannot speak to the terminal through what is said of the revocation', async () => {
    const said = 'ses_1\u001b]0;owned\u0007'
    broker.answers = [{ body: { ...MINTED, expires_in: said, session: { ...SESSION, id: said } } }]
    broker.revoked = { aws_honours_until: said }
    for (const revocation of [200, 503]) {
      broker.revocation = revocation
      const ran = await sallyport.run(...exec, '--delivery', 'credential', '--', 'true')
      expect(ran.err).toContain('session ses_1')
      expect(ran.err.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
    }
  })

  test('nothing runs when the broker refuses, or when there is nothing to run', async () => {
    broker.answers = [{ status: 400, body: { error: 'access_denied' } }]
    expect(await sallyport.run(...exec, '--', 'true')).toMatchObject({ exitCode: 1 })
    expect(await sallyport.run(...exec)).toMatchObject({ exitCode: 2 })
    expect(sallyport.ran).toEqual([])
  })

  test('the variable that held the attestation is not handed on', async () => {
    sallyport.env['CI_TOKEN'] = 'canary'
    const source = ['--subject-token-env', 'CI_TOKEN']
    await sallyport.run('exec', '--audience', 'crm', ...source, '--', 'true')
    expect(sallyport.ran[0]?.unset).toContain('CI_TOKEN')
  })

  test('nor is what the attestation was made with: the runner, or the keys of AWS', async () => {
    const unset = async (source: string) => {
      sallyport.ran.length = 0
      await sallyport.run('exec', '--audience', 'crm', source, '--', 'true')
      return sallyport.ran[0]?.unset
    }
    broker.answers = [{ body: { ...HANDLE, value: 'github.id.token' } }]
    sallyport.env['ACTIONS_ID_TOKEN_REQUEST_URL'] = `${broker.url}/id-token`
    sallyport.env['ACTIONS_ID_TOKEN_REQUEST_TOKEN'] = 'canary'
    expect(await unset('--github-actions')).toContain('ACTIONS_ID_TOKEN_REQUEST_TOKEN')
    sallyport.env['AWS_ACCESS_KEY_ID'] = 'AKIAIOSFODNN7EXAMPLE'
    sallyport.env['AWS_SECRET_ACCESS_KEY'] = 'canary'
    sallyport.env['AWS_REGION'] = 'eu-central-1'
    const keys = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE']
    expect(await unset('--aws')).toEqual(expect.arrayContaining(keys))
  })

  test('no key of a broker is handed on', async () => {
    await sallyport.run(...exec, '--', 'true')
    const keys = ['SALLYPORT_KEK', 'SALLYPORT_KEK_PREVIOUS', 'DATABASE_AUTH_TOKEN']
    expect(sallyport.ran[0]?.unset).toEqual(expect.arrayContaining(keys))
  })
})
