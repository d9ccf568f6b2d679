// `sallyport explain` of sessions and decisions, and the questions to the audit trail that tell apart why
// something was done.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Issuer,
  type ProtectedApi,
  startIssuer,
  startProtectedApi,
} from '../../functions/cli/quickstart-world.ts'
import { type BrokerRig, type Cli, cli, startBroker } from './rig.ts'

const TT = 'urn:ietf:params:oauth:token-type:'

let issuer: Issuer
let api: ProtectedApi
let broker: BrokerRig
let sallyport: Cli

beforeAll(async () => {
  ;[issuer, api, broker] = await Promise.all([startIssuer(), startProtectedApi(), startBroker()])
  sallyport = cli(broker.env)
  sallyport.files['-'] = api.key
  await sallyport.run('secrets', 'set', 'crm-token', '--allowed-origin', api.url)
  const method = (name: string, sub: string, more: object = {}) => ({
    name,
    type: 'oidc',
    config: { issuer: issuer.url, audiences: [broker.url], match: { sub }, ...more },
  })
  const origin = { kind: 'schedule', definition: { name: 'sub', hash: { value: 'sha256:1' } } }
  sallyport.files['policy.yaml'] = JSON.stringify({
    auth_methods: [
      method('runtime', 'pod/bot'),
      method('helpers', 'pod/helper'),
      method('nightly', 'cron/nightly', { origin }),
    ],
    targets: [
      {
        name: 'crm',
        type: 'http',
        config: { base_url: api.url },
        credential: { inject: 'bearer', secret: 'sealed:crm-token' },
      },
    ],
    bindings: ['runtime', 'nightly'].map((auth_method) => ({
      name: `${auth_method}-crm`,
      auth_method,
      target: 'crm',
      grants: [{ effects: ['read', 'write'], objects: ['* /v1/**'] }],
      delegate_to: ['helpers'],
      ttl_seconds: 300,
    })),
  })
  const applied = await sallyport.run('apply', 'policy.yaml', '--yes')
  if (applied.exitCode !== 0) throw new Error(applied.err)
})
afterAll(async () => {
  await Promise.all([issuer?.close(), api?.close(), broker?.close()])
})
beforeEach(() => {
  sallyport = cli(broker.env)
})

const tokenOf = (sub: string) => issuer.workloadToken({ aud: broker.url, sub })

async function open(fields: Readonly<Record<string, string>>) {
  const answer = await fetch(`${broker.url}/token-exchange`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: `${TT}jwt`,
      audience: 'crm',
      ...fields,
    }),
  })
  const body = (await answer.json()) as {
    access_token: string
    session: { id: string; decision_id: string }
  }
  if (!answer.ok) throw new Error(JSON.stringify(body))
  return { handle: body.access_token, id: body.session.id, decision: body.session.decision_id }
}

const agent = async (fields: Readonly<Record<string, string>> = {}, sub = 'pod/bot') =>
  open({ subject_token: await tokenOf(sub), ...fields })

const below = async (handle: string) =>
  open({
    subject_token: handle,
    subject_token_type: `${TT}access_token`,
    actor_token: await tokenOf('pod/helper'),
    actor_token_type: `${TT}jwt`,
  })

async function act(handle: string, headers: Readonly<Record<string, string>> = {}) {
  const answer = await fetch(`${broker.url}/t/crm/v1/customers/1`, {
    headers: { authorization: `Bearer ${handle}`, ...headers },
  })
  await answer.text()
  return answer.headers.get('sallyport-decision') ?? ''
}

async function explained(id: string): Promise<string> {
  const { exitCode, out, err } = await sallyport.run('explain', id)
  if (exitCode !== 0) throw new Error(err)
  return out.replaceAll(/ +/g, ' ')
}

const reportOf = async (id: string) =>
  JSON.parse((await sallyport.run('explain', id, '--json')).out)

describe('explain of a session', () => {
  test('says what state, why, since when, by whom, and what was given back', async () => {
    const { id } = await agent()
    expect(await explained(id)).toMatch(/state active\nsince \S+\nwhy as it was opened/)
    await sallyport.run('narrow', id, '--effect', 'write', '--reason', 'odd writes')
    expect(await explained(id)).toMatch(
      /state narrowed\nsince \S+\nwhy by_admin: odd writes\nby admin\S*\nremoved write\n/,
    )
    await sallyport.run('suspend', id, '--reason', 'incident 7')
    await sallyport.run('restore', id, '--reason', 'false alarm')
    const told = await explained(id)
    expect(told).toMatch(/state active\nsince \S+\nwhy by_admin: false alarm/)
    expect(told).toMatch(/session\.narrow admin\S* by_admin: odd writes write -/)
    expect(told).toMatch(/session\.suspend admin\S* by_admin: incident 7/)
    expect(told).toMatch(/session\.restore \S+ by_admin: false alarm - suspended \(without write\)/)
    await sallyport.run('revoke', id)
    expect(await explained(id)).toMatch(/state ended\n[^]*session\.revoke/)
  })

  test('names the session above that ended it, and what that one lost', async () => {
    const root = await agent()
    const child = await below(root.handle)
    const leaf = await below(child.handle)
    await sallyport.run('narrow', root.id, '--effect', 'write')
    await sallyport.run('suspend', child.id, '--reason', 'look at this')
    const suspended = await reportOf(leaf.id)
    expect(suspended).toMatchObject({
      session: { state: 'suspended', own_state: 'active', removed_effects: [] },
      held_by: [
        { id: root.id, state: 'narrowed', removed_effects: ['write'] },
        { id: child.id, state: 'suspended', state_change: { action: { reason: 'look at this' } } },
      ],
    })
    expect(await explained(leaf.id)).toMatch(
      new RegExp(
        `state suspended\\nsince \\S+\\nwhy ${child.id}, which it descends from: by_admin`,
      ),
    )
    await sallyport.run('revoke', root.id, '--reason', 'over')
    const told = await explained(leaf.id)
    expect(told).toMatch(/state ended\n/)
    expect(told).toContain(`why ${root.id}, which it descends from`)
    expect(await reportOf(root.id)).toMatchObject({ session: { own_state: 'ended' }, held_by: [] })
  })

  test('of a decision shows its events and how its session stands since', async () => {
    const { id, handle, decision } = await agent()
    const opened = await explained(decision)
    expect(opened).toContain('session.open')
    expect(opened).toContain(`session ${id}`)
    await sallyport.run('suspend', id, '--reason', 'incident 8')
    const refused = await act(handle)
    const told = await explained(refused)
    expect(told).toContain('session_suspended')
    expect(told).toMatch(/why by_admin: incident 8/)
    expect(await reportOf(refused)).toMatchObject({
      session: { id },
      decision: [{ session_id: id }],
    })
  })

  test('what there is not, or is no id, is told', async () => {
    expect(await sallyport.run('explain', 'crm')).toMatchObject({ exitCode: 2 })
    expect(await sallyport.run('explain', 'ses_nothing')).toMatchObject({ exitCode: 1 })
    expect(await sallyport.run('explain', 'dec_nothing')).toMatchObject({ exitCode: 2 })
  })
})

describe('audit list', () => {
  test('tells apart what the user asked, what was part of the task, what the agent decided', async () => {
    const details = JSON.stringify([
      { type: 'agent_intent', purpose: 'weekly report', origin: { kind: 'task', id: 'task-9' } },
    ])
    const { id, handle } = await agent({ authorization_details: details })
    const asked = await act(handle, {
      'sallyport-action-origin': 'user',
      'sallyport-action-ref': 'm',
    })
    const part = await act(handle)
    const own = await act(handle, { 'sallyport-action-origin': 'agent' })
    for (const [kind, decision] of [
      ['user', asked],
      ['task', part],
      ['agent', own],
    ] as const) {
      const args = ['--session', id, '--type', 'action', '--origin', kind, '--json']
      const { out } = await sallyport.run('audit', 'list', ...args)
      const found = out.split('\n').map((line) => JSON.parse(line).decision_id)
      expect(found).toEqual([decision])
    }
    // What the caller says of itself proves nothing: no token vouched for a user or a schedule.
    const proven = ['--session', id, '--origin', 'user', '--origin-attested', 'user']
    expect((await sallyport.run('audit', 'list', ...proven)).err).toBe('no events')
  })

  test('finds the runs that a schedule started, with the definition of their task', async () => {
    const { id, handle } = await agent({}, 'cron/nightly')
    await act(handle)
    const child = await below(handle)
    await act(child.handle)
    const args = ['--type', 'action', '--origin-attested', 'schedule', '--json']
    const { out } = await sallyport.run('audit', 'list', ...args)
    expect(out.split('\n').map((line) => JSON.parse(line))).toMatchObject([
      {
        session_id: id,
        origin: {
          attested: {
            kind: 'schedule',
            definition: { name: 'cron/nightly', hash: 'sha256:1' },
            definition_by_policy: ['hash'],
          },
        },
      },
    ])
    const upstream = await sallyport.run('audit', 'list', '--origin-attested', 'upstream', '--json')
    expect(upstream.out).toContain(child.id)
  })
})
