import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { auditTail } from '../../functions/cli/audit.ts'
import {
  type Issuer,
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from '../../functions/cli/quickstart-world.ts'
import { type BrokerRig, type Cli, cli, startBroker } from './rig.ts'

let issuer: Issuer
let api: ProtectedApi
let broker: BrokerRig
let sallyport: Cli

beforeAll(async () => {
  ;[issuer, api, broker] = await Promise.all([startIssuer(), startProtectedApi(), startBroker()])
})
afterAll(async () => {
  await Promise.all([issuer?.close(), api?.close(), broker?.close()])
})
beforeEach(() => {
  sallyport = cli(broker.env)
})

const methods = () => `
auth_methods:
  - name: runtime
    type: oidc
    config: { issuer: "${issuer.url}", audiences: ["${broker.url}"], match: { sub: pod/bot } }
targets:
  - name: crm
    type: http
    config: { base_url: "${api.url}" }
    credential: { inject: bearer, secret: "sealed:crm-token" }
`
const BINDINGS = `
# who may do what
bindings:
  - name: bot-crm
    auth_method: runtime
    target: crm
    grants: [{ effects: [read], objects: ["GET /v1/customers/*"] }]
    ttl_seconds: 120
    owner: tests
`

async function seal(): Promise<void> {
  sallyport.files['-'] = `${api.key}\n`
  const args = ['secrets', 'set', 'crm-token', '--allowed-origin', api.url]
  expect(await sallyport.run(...args)).toMatchObject({ exitCode: 0, err: '' })
}

async function applied(): Promise<void> {
  await seal()
  Object.assign(sallyport.files, { 'methods.yaml': methods(), 'bindings.yaml': BINDINGS })
  expect(await sallyport.run('apply', 'methods.yaml', 'bindings.yaml', '--yes')).toMatchObject({
    exitCode: 0,
  })
}

async function workload(): Promise<void> {
  sallyport.files['token.jwt'] =
    `${await issuer.workloadToken({ aud: broker.url, sub: 'pod/bot' })}\n`
}

describe('secrets', () => {
  test('LEAK-1: are taken from standard input or a file, and never printed', async () => {
    await seal()
    const listed = await sallyport.run('secrets', 'list')
    expect(listed.out).toContain('sealed:crm-token')
    expect(listed.out).toContain(api.url)
    expect(listed.out + listed.err).not.toContain(api.key)
    const help = await sallyport.run('secrets', 'set', '--help')
    expect(help.out).not.toMatch(/--value|--secret /)
  })

  test('without a value or an origin nothing is sent', async () => {
    sallyport.files['-'] = '\n'
    const origin = ['--allowed-origin', api.url]
    expect(await sallyport.run('secrets', 'set', 'x', ...origin)).toMatchObject({ exitCode: 2 })
    expect(await sallyport.run('secrets', 'set', 'x')).toMatchObject({ exitCode: 2 })
  })
})

describe('apply', () => {
  test('several files are one document; --dry-run shows the plan and changes nothing', async () => {
    await seal()
    sallyport.files['all.yaml'] =
      methods().replace('runtime', 'other') + BINDINGS.replaceAll('runtime', 'other')
    const planned = await sallyport.run('apply', 'all.yaml', '--dry-run', '--json')
    expect(planned.exitCode).toBe(0)
    expect(JSON.parse(planned.out).create.auth_methods).toEqual(['other'])
    await applied()
    const text = await sallyport.run('apply', 'all.yaml', '--dry-run')
    expect(text.out).toContain('+ auth_methods/other')
    expect(text.out).toContain('- auth_methods/runtime')
    const again = await sallyport.run('apply', 'methods.yaml', 'bindings.yaml')
    expect(again).toMatchObject({ exitCode: 0, out: 'nothing to change' })
  })

  test('asks before it changes anything, and does nothing when nobody answers', async () => {
    await applied()
    sallyport.files['fewer.yaml'] = methods()
    expect(await sallyport.run('apply', 'fewer.yaml')).toMatchObject({ exitCode: 2 })
    sallyport.answer = false
    expect(await sallyport.run('apply', 'fewer.yaml')).toMatchObject({ exitCode: 1 })
    const kept = await sallyport.run('apply', 'fewer.yaml', '--no-prune', '--yes')
    expect(kept.out).toBe('nothing to change')
    sallyport.answer = true
    const done = await sallyport.run('apply', 'fewer.yaml')
    expect(done.out).toContain('- bindings/bot-crm')
    expect(done.out).toMatch(/applied: policy revision \d+/)
  })

  test('all mistakes come at once, each with its file and line', async () => {
    await seal()
    Object.assign(sallyport.files, {
      'methods.yaml': methods(),
      'bad.yaml': `bindings:
  - name: one
    auth_method: nobody
    target: crm
    grants: [{ effects: [read], objects: ["**"] }]
  - name: two
    auth_method: runtime
    target: crm
    ttl_secnds: 5
    grants:
      - effects: [read]
        objects: ["GET /a*"]
`,
    })
    const refused = await sallyport.run('apply', 'methods.yaml', 'bad.yaml', '--yes')
    expect(refused.exitCode).toBe(1)
    expect(refused.err).toMatch(/bad\.yaml:3: \/bindings\/0\/auth_method/)
    expect(refused.err).toMatch(/bad\.yaml:9: .*ttl_secnds/)
    const json = await sallyport.run('apply', 'methods.yaml', 'bad.yaml', '--yes', '--json')
    expect(JSON.parse(json.out).errors.length).toBeGreaterThanOrEqual(2)
    expect(JSON.parse(json.out).errors[0].at).toMatch(/^bad\.yaml:\d+$/)
  })

  test('YAML that JSON could not have said is refused before anything is sent', async () => {
    for (const text of ['a: &x 1\nb: *x', 'a: 1\na: 2', 'a: [', 'a: !!js/function x']) {
      sallyport.files['bad.yaml'] = text
      const offline = cli({ SALLYPORT_URL: 'http://127.0.0.1:9', SALLYPORT_ADMIN_TOKEN: 'x' })
      offline.files['bad.yaml'] = text
      const refused = await offline.run('apply', 'bad.yaml', '--yes')
      expect(refused, text).toMatchObject({ exitCode: 2 })
      expect(refused.err, text).toMatch(/bad\.yaml:\d+: /)
    }
  })
})

describe('exchange, audit, sessions', () => {
  test('a handle alone goes to standard output; the trail shows the intent; revoke ends it', async () => {
    await applied()
    await workload()
    sallyport.files['intent.yaml'] =
      'purpose: weekly report\nagent: { name: report-bot }\nenvelope: { effects: [read] }\n'
    const subject = ['--audience', 'crm', '--subject-token-file', 'token.jwt']
    const got = await sallyport.run('exchange', ...subject, '--intent', 'intent.yaml')
    expect(got).toMatchObject({
      exitCode: 0,
      out: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
    })
    const id = /ses_[\w-]+/.exec(got.err)?.[0] ?? ''
    const answer = await fetch(`${broker.url}/t/crm/v1/customers/42`, {
      headers: { authorization: `Bearer ${got.out}` },
    })
    expect(answer.status).toBe(200)

    const listed = await sallyport.run('audit', 'list', '--session', id)
    expect(listed.out).toContain('GET /v1/customers/42')
    const json = await sallyport.run('audit', 'list', '--session', id, '--json')
    const events = json.out.split('\n').map((line) => JSON.parse(line))
    expect(events.map((event) => event.type)).toEqual(['decision', 'grant', 'action', 'outcome'])
    expect(events.every((event) => event.intent.purpose === 'weekly report')).toBe(true)
    expect(json.out + listed.out).not.toContain(got.out)

    const sessions = await sallyport.run('sessions', '--state', 'active', '--target', 'crm')
    expect(sessions.out).toContain(id)
    expect(await sallyport.run('revoke', id, '--reason', 'test')).toMatchObject({
      exitCode: 0,
      out: 'revoked: 1',
    })
    expect(await sallyport.run('revoke')).toMatchObject({ exitCode: 2 })
    expect(await sallyport.run('revoke', id, '--agent', 'x')).toMatchObject({ exitCode: 2 })
  })

  test('a session is narrowed, suspended and restored by name, and the lists say why', async () => {
    await applied()
    await workload()
    const subject = ['--audience', 'crm', '--subject-token-file', 'token.jwt']
    const opened = async () => {
      sallyport.files['intent.yaml'] = 'purpose: weekly report\norigin: { kind: agent }\n'
      const got = await sallyport.run('exchange', ...subject, '--intent', 'intent.yaml')
      return /ses_[\w-]+/.exec(got.err)?.[0] ?? ''
    }
    const id = await opened()
    expect(await sallyport.run('narrow', id, '--effect', 'write')).toMatchObject({
      exitCode: 0,
      out: 'state: narrowed',
    })
    expect(await sallyport.run('suspend', id, '--reason', 'incident 7')).toMatchObject({
      out: 'state: suspended',
    })
    const listed = (await sallyport.run('sessions', '--state', 'suspended')).out
    expect(listed).toContain('by_admin: incident 7')
    expect(await sallyport.run('restore', id)).toMatchObject({ out: 'state: active' })
    expect((await sallyport.run('audit', 'list', '--type', 'state')).out).toContain(
      'session.suspend',
    )
    const byOrigin = await sallyport.run('audit', 'list', '--origin', 'agent', '--json')
    expect(byOrigin.out).toContain(id)
    const proven = await sallyport.run('audit', 'list', '--origin-attested', 'schedule')
    expect(proven.out).toBe('')
    expect(await sallyport.run('audit', 'list', '--origin', 'god')).toMatchObject({ exitCode: 2 })
    await sallyport.run('revoke', id)
    expect(await sallyport.run('restore', id)).toMatchObject({ exitCode: 1 })
    expect(await sallyport.run('narrow', id)).toMatchObject({ exitCode: 2 })
  })

  test('a refusal is exit code 1 with the code and the decision, in JSON the answer itself', async () => {
    await applied()
    await workload()
    const subject = ['--subject-token-file', 'token.jwt', '--audience']
    const refused = await sallyport.run('exchange', ...subject, 'nowhere')
    expect(refused).toMatchObject({ exitCode: 1, out: '' })
    expect(refused.err).toContain('refused: invalid_target')
    expect(refused.err).toMatch(/decision: dec_/)
    const json = await sallyport.run('exchange', ...subject, 'nowhere', '--json')
    expect(JSON.parse(json.out)).toMatchObject({ error: 'invalid_target' })
  })

  test('a token is never taken from the command line', async () => {
    const help = (await sallyport.run('exchange', '--help')).out
    expect(help).toContain('--subject-token-file')
    expect(help).not.toMatch(/--subject-token(?!-file|-env|-type)/)
    expect(await sallyport.run('exchange', '--audience', 'crm')).toMatchObject({ exitCode: 2 })
  })

  test('what an agent wrote cannot drive the terminal of the auditor', async () => {
    await applied()
    await workload()
    const purpose = 'harmless\u001b]0;owned\u0007\u202etxt'
    const subject = ['--audience', 'crm', '--subject-token-file', 'token.jwt']
    await sallyport.run('exchange', ...subject, '--purpose', purpose)
    const listed = await sallyport.run('audit', 'list')
    expect(listed.out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })
})

test('explain judges with the policy of a broker, signature included where keys may be fetched', async () => {
  await applied()
  await workload()
  const args = ['explain', '--server', broker.url, '--token-file', 'token.jwt', '--fetch-keys']
  const good = await sallyport.run(...args)
  expect(good.out).toMatch(/pass +signature/)
  expect(good.out).toContain('binding bot-crm (allow crm) holds')
  expect(good.exitCode).toBe(0)
  const [header, payload, signature = ''] = String(sallyport.files['token.jwt']).trim().split('.')
  const forged = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)
  sallyport.files['token.jwt'] = `${header}.${payload}.${forged}`
  const bad = await sallyport.run(...args)
  expect(bad.out).toMatch(/FAIL +signature +bad_signature/)
  expect(bad.exitCode).toBe(1)
})

describe('audit tail', () => {
  test('prints what is there once, and then each event once as it comes', async () => {
    await applied()
    const printed: string[] = []
    const io = sallyport.io((line) => printed.push(line))
    let polls = 0
    const sleep = async () => {
      polls++
      if (polls === 2) await seal()
    }
    await auditTail({ limit: '1', json: true }, { ...io, sleep }, 4)
    const seqs = printed.map((line) => JSON.parse(line).seq)
    expect(seqs.length).toBeGreaterThan(2)
    expect(seqs).toEqual([...new Set(seqs)].toSorted((a, b) => a - b))
    expect(JSON.parse(printed.at(-1) ?? '{}').action.operation).toBe('secret.put')
  })
})

describe('doctor', () => {
  test('says of each part whether it works and how to mend it', async () => {
    await applied()
    const { exitCode, out } = await sallyport.run('doctor', '--store', '--json')
    const { checks } = JSON.parse(out)
    const status = Object.fromEntries(
      checks.map((one: { check: string; status: string }) => [one.check, one.status]),
    )
    expect(status).toMatchObject({
      settings: 'OK',
      'store durability': 'OK',
      'signing keys in the store': 'OK',
      broker: 'OK',
      clock: 'OK',
      'store, keys, migrations': 'OK',
      issuer: 'OK',
      'signing keys': 'OK',
      'federation keys': 'OK',
      'auth method runtime': 'OK',
      'target crm': 'WARN',
      'admin token': 'WARN',
    })
    expect(exitCode).toBe(0)
    const text = await sallyport.run('doctor')
    expect(text.out).toContain('mend: ')
    expect(text.out + out).not.toContain(broker.env['SALLYPORT_ADMIN_TOKEN'])
  })

  test('finds an issuer that went away, and a token that can be guessed', async () => {
    const gone = await startIssuer()
    await gone.close()
    await seal()
    sallyport.files['all.yaml'] = methods().replace(issuer.url, gone.url) + BINDINGS
    expect(await sallyport.run('apply', 'all.yaml', '--yes')).toMatchObject({ exitCode: 0 })
    const { exitCode, out } = await sallyport.run('doctor')
    expect(out).toMatch(/FAIL +auth method runtime/)
    expect(exitCode).toBe(1)
    const weak = cli({ SALLYPORT_URL: broker.url, SALLYPORT_ADMIN_TOKEN: 'password' })
    expect((await weak.run('doctor')).out).toMatch(/FAIL +admin token/)
  })
})

test('doctor --store makes neither a key nor a database', async () => {
  const env = { DATABASE_URL: 'file:/nonexistent/sallyport.db', SALLYPORT_URL: broker.url }
  const { exitCode, out } = await cli(env).run('doctor', '--store')
  expect(exitCode).toBe(1)
  expect(out).toContain('start the broker once')
})

describe('exit codes', () => {
  const nobody = { SALLYPORT_URL: 'http://127.0.0.1:9', SALLYPORT_ADMIN_TOKEN: 'x'.repeat(40) }

  test('3 when the broker cannot be reached; the token is in no message', async () => {
    for (const args of [['audit', 'list'], ['sessions'], ['doctor'], ['secrets', 'list']]) {
      const ran = await cli(nobody).run(...args)
      expect(ran.exitCode, args.join(' ')).toBe(3)
      expect(ran.out + ran.err).not.toContain(nobody.SALLYPORT_ADMIN_TOKEN)
    }
  })

  test('2 for wrong usage', async () => {
    for (const args of [
      ['bogus'],
      ['apply'],
      ['apply', 'missing.yaml'],
      ['audit', 'list', '--type', 'nonsense'],
      ['audit', 'list', '--limit', '0'],
      ['sessions', '--bogus'],
      ['sessions', '--server', 'http://broker.example'],
      ['sessions', '--server', 'not a url'],
      ['sessions', '--server', 'https://broker.example/path'],
      ['sessions', '--server', 'https://u:p@broker.example'],
    ]) {
      expect((await cli(nobody).run(...args)).exitCode, args.join(' ')).toBe(2)
    }
    expect((await cli({ SALLYPORT_URL: broker.url }).run('sessions')).exitCode).toBe(2)
  })

  test('1 for a token that is not accepted', async () => {
    const wrong = cli({ SALLYPORT_URL: broker.url, SALLYPORT_ADMIN_TOKEN: 'wrong'.repeat(10) })
    expect((await wrong.run('sessions')).exitCode).toBe(1)
  })

  test('0 for help, which gives examples and the codes', async () => {
    const help = await cli().run('--help')
    expect(help).toMatchObject({ exitCode: 0 })
    expect(help.out).toContain('Exit codes:')
    for (const command of [
      'serve',
      'apply',
      'exchange',
      'exec',
      'sessions',
      'revoke',
      'narrow',
      'suspend',
      'restore',
      'doctor',
      'explain',
    ]) {
      const own = await cli().run(command, '--help')
      expect(own.exitCode).toBe(0)
      expect(own.out, command).toContain('Examples:')
      expect(own.out, command).toContain('--json')
    }
  })
})
