// `npm run quickstart`: the main job, end to end, on this machine alone. An issuer and an API stand for
// the outside world; the broker is the real one. Everything it says was checked: it exits 1 otherwise.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApp } from '../app.ts'
import { TOKEN_EXCHANGE_GRANT, TOKEN_TYPES } from '../core/token.ts'
import { startNode } from '../platforms/node.ts'
import { actionText, outcomeText } from './audit.ts'
import { membersOf } from './broker-client.ts'
import { INTENT, policyFor } from './quickstart-policy.ts'
import {
  freePort,
  type Issuer,
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from './quickstart-world.ts'
import { cell, printable, table } from './table.ts'

type Members = Readonly<Record<string, unknown>>
type Answer = { readonly status: number; readonly headers: Headers; readonly text: string }
type Broker = {
  readonly url: string
  readonly adminToken: string
  stop(): Promise<void>
}

const say = (line = '') => void process.stdout.write(`${line}\n`)
const step = (number: number, title: string) => say(`\n${number}. ${title}`)
const shown = (line: string) => say(`   ${line}`)

/** Says something that was checked. */
function claim(text: string, holds: boolean, answer?: Answer): void {
  const got = answer === undefined ? '' : `\n   -> ${answer.status} ${printable(answer.text)}`
  if (!holds) throw new Error(`This does not hold: ${text}${got}`)
  shown(`✓ ${text}`)
}

async function main(): Promise<void> {
  const started = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-'))
  const [issuer, api] = await Promise.all([startIssuer(), startProtectedApi()])
  const broker = await startBroker(folder)
  try {
    say('Sallyport quickstart: an agent uses an API whose key it never has.')
    step(1, 'The world')
    shown(`issuer  ${issuer.url}   signs tokens for the workloads it runs`)
    shown(`API     ${api.url}   wants an API key`)
    shown(`broker  ${broker.url}   has an empty policy`)
    await configure(broker, issuer, api)
    const workload = await attest(broker, issuer)
    const session = await exchange(broker, workload)
    await actWithin(session, api)
    await actOutside(session, api)
    await trail(broker, session, [api.key, workload, session.handle])
    await revoke(broker, session)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    say(`\nAll of it was checked, in ${seconds} s. Next: npm start, then README.md and docs/.`)
  } finally {
    await broker.stop()
    await Promise.all([issuer.close(), api.close()])
    await rm(folder, { recursive: true, force: true })
  }
}

async function startBroker(folder: string): Promise<Broker> {
  const adminToken = randomBytes(32).toString('base64url')
  const settings: Readonly<Record<string, string>> = {
    PORT: String(await freePort()),
    DATABASE_URL: `file:${join(folder, 'sallyport.db')}`,
    SALLYPORT_ADMIN_TOKEN: adminToken,
    SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1',
    LOG_LEVEL: 'error',
  }
  // Only these settings: whatever this shell has set for another broker stays out of it.
  const running = await startNode(createApp, (name) => settings[name])
  if (running.ok) return { ...running.value, adminToken }
  throw new Error(running.failure.map((one) => `${one.setting} ${one.message}`).join('; '))
}

async function configure(broker: Broker, issuer: Issuer, api: ProtectedApi): Promise<void> {
  step(2, 'An administrator seals the API key and writes the policy')
  const headers = {
    authorization: `Bearer ${broker.adminToken}`,
    'content-type': 'application/json',
  }
  const secret = await call(`${broker.url}/admin/v1/secrets/crm-token`, {
    method: 'PUT',
    headers,
    body: JSON.stringify({ value: api.key, allowed_origins: [api.url] }),
  })
  claim(`the key is sealed; it will be sent to ${api.url} only`, secret.status === 201, secret)
  const policy = policyFor(broker.url, issuer.url, api.url)
  const applied = await call(`${broker.url}/admin/v1/policy/apply`, {
    method: 'POST',
    headers,
    body: JSON.stringify(policy),
  })
  claim(
    'the policy is in force: one auth method, one target, one binding',
    applied.status === 200,
    applied,
  )
  shown('  agents of the pool "support-agents" may read and delete at crm, for 300 s,')
  shown('  and have to say what for')
}

async function attest(broker: Broker, issuer: Issuer): Promise<string> {
  step(3, 'The agent starts; all it has is the token its runtime gave it')
  const token = await issuer.workloadToken({
    aud: broker.url,
    sub: 'pod/support-bot-7f9c',
    pool: 'support-agents',
  })
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  shown(`$WORKLOAD_TOKEN = ${token.slice(0, 24)}…   which says`)
  shown(payload)
  return token
}

type Session = { readonly id: string; readonly handle: string; readonly url: string }

async function exchange(broker: Broker, workloadToken: string): Promise<Session> {
  step(4, 'It says what it is about to do, and gets a session handle')
  shown(`curl ${broker.url}/token-exchange \\`)
  shown(`  -d grant_type=${TOKEN_EXCHANGE_GRANT} \\`)
  shown(`  -d subject_token_type=${TOKEN_TYPES.jwt} \\`)
  shown('  -d subject_token=$WORKLOAD_TOKEN -d audience=crm \\')
  shown(`  --data-urlencode 'authorization_details=[${JSON.stringify(INTENT)}]'`)
  const answer = await call(`${broker.url}/token-exchange`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: TOKEN_EXCHANGE_GRANT,
      subject_token: workloadToken,
      subject_token_type: TOKEN_TYPES.jwt,
      audience: 'crm',
      authorization_details: JSON.stringify([INTENT]),
    }),
  })
  const body = parsed(answer)
  const session = membersOf(body['session'])
  const handle = String(body['access_token'])
  const url = String(membersOf(session['targets'])['crm'])
  shown(`-> ${answer.status}, scope "${String(body['scope'])}", ${String(body['expires_in'])} s`)
  claim(
    'the answer is a session handle',
    answer.status === 200 && handle.split('.').length === 3,
    answer,
  )
  claim(`the handle is good at ${url}`, url === `${broker.url}/t/crm`)
  return { id: String(session['id']), handle, url }
}

async function actWithin(session: Session, api: ProtectedApi): Promise<void> {
  step(5, 'It reads customer 42 through the gateway')
  shown(`curl ${session.url}/v1/customers/42 -H "Authorization: Bearer $HANDLE"`)
  const headers = { authorization: `Bearer ${session.handle}` }
  const answer = await call(`${session.url}/v1/customers/42`, { headers })
  shown(`-> ${answer.status} ${printable(answer.text)}`)
  claim('the API answered', answer.status === 200 && parsed(answer)['name'] === 'Ada Ltd')
  claim('the API got its key, from the broker', api.served.includes('GET /v1/customers/42'))
  const seen = `${answer.text}\n${[...answer.headers].join('\n')}`
  claim('the agent never saw the key', !seen.includes(api.key))
  claim('the social security number is masked', parsed(answer)['ssn'] === '***')
  const direct = await call(`${api.url}/v1/customers/42`, { headers })
  claim('sent to the API itself, the handle is worth nothing (401)', direct.status === 401)
}

async function actOutside(session: Session, api: ProtectedApi): Promise<void> {
  step(6, 'It tries to delete: the binding would allow it, the declared intent does not')
  shown(`curl -X DELETE ${session.url}/v1/customers/42 -H "Authorization: Bearer $HANDLE"`)
  const answer = await call(`${session.url}/v1/customers/42`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${session.handle}` },
  })
  const body = parsed(answer)
  shown(`-> ${answer.status} ${printable(answer.text)}`)
  claim(
    'it is refused, with a reason',
    answer.status === 403 && body['code'] === 'envelope_exceeded',
  )
  claim(`and a hint: ${String(body['hint'])}`, typeof body['hint'] === 'string')
  const decision = String(body['decision_id'])
  claim(`and a decision to ask about: ${decision}`, decision.startsWith('dec_'))
  const deletes = api.served.filter((request) => request.startsWith('DELETE'))
  claim('the API heard nothing of it', deletes.length === 0)
}

async function trail(broker: Broker, session: Session, secrets: readonly string[]): Promise<void> {
  step(7, 'The audit trail says who, what for, and what came of it')
  const path = `/admin/v1/audit?session=${session.id}`
  shown(`curl '${broker.url}${path}' -H "Authorization: Bearer $SALLYPORT_ADMIN_TOKEN"`)
  const answer = await call(`${broker.url}${path}`, {
    headers: { authorization: `Bearer ${broker.adminToken}` },
  })
  const items = parsed(answer)['items']
  const events = (Array.isArray(items) ? items : []).map(membersOf)
  const rows = events.map((event) => [
    cell(event['type']),
    actionText(event['action']),
    outcomeText(event['outcome']),
    cell(event['reason']),
    cell(event['decision_id']),
  ])
  say(`\n${table(['event', 'action', 'outcome', 'reason', 'decision'], rows)}\n`)
  const [first] = events
  shown(`identity  ${String(first?.['identity'])}`)
  shown(`agent     declared ${JSON.stringify(membersOf(first?.['agent'])['declared'])}`)
  shown(`intent    ${JSON.stringify(membersOf(first?.['intent'])['purpose'])}`)
  shown(`origin    ${JSON.stringify(membersOf(first?.['origin'])['declared'])}`)
  checkTrail(events)
  claim(
    'neither the key nor a token is in it',
    secrets.every((secret) => !answer.text.includes(secret)),
  )
}

function checkTrail(events: readonly Members[]): void {
  const types = new Set(events.map((event) => event['type']))
  claim(
    'the grant, the read and its outcome, and the refusal are all there',
    ['decision', 'grant', 'action', 'outcome'].every((type) => types.has(type)) &&
      events.some((event) => membersOf(event['outcome'])['verdict'] === 'deny'),
  )
  claim(
    'each names the identity that was attested, and the intent that was declared',
    events.every(
      (event) =>
        event['identity'] === 'runtime:pod/support-bot-7f9c' &&
        membersOf(event['intent'])['purpose'] === INTENT.purpose &&
        membersOf(membersOf(event['agent'])['declared'])['name'] === INTENT.agent.name &&
        membersOf(membersOf(event['agent'])['attested'])['auth_method'] === 'runtime',
    ),
  )
  const isChained = events.every(
    (event, i) => event['prev_hash'] === (events[i - 1]?.['hash'] ?? null),
  )
  claim('each holds the hash of the one before it', isChained && events.length > 0)
}

async function revoke(broker: Broker, session: Session): Promise<void> {
  step(8, 'The session is revoked')
  shown(`curl ${broker.url}/revoke -d token=$HANDLE`)
  const body = new URLSearchParams({ token: session.handle })
  const revoked = await call(`${broker.url}/revoke`, { method: 'POST', body })
  const after = await call(`${session.url}/v1/customers/42`, {
    headers: { authorization: `Bearer ${session.handle}` },
  })
  claim('the next call is refused (401)', revoked.status === 200 && after.status === 401, after)
}

async function call(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, redirect: 'error' })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

function parsed(answer: Answer): Members {
  try {
    return membersOf(JSON.parse(answer.text))
  } catch {
    return {}
  }
}

try {
  await main()
} catch (error) {
  console.error(`\nThe quickstart failed. ${error instanceof Error ? error.message : ''}`)
  process.exitCode = 1
}
