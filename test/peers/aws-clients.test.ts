// Programs that know nothing of this broker, and AWS as moto has it, with every signature, session policy and
// web identity token checked: the AWS SDK for JavaScript, boto3 and the AWS CLI get credentials through the
// container endpoint and through `credential_process`, and use them.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AWS_CLIENT_PROGRAMS, type Environment, type Operation } from './aws-client-programs.ts'
import type { AwsServices } from './aws-services.ts'
import {
  assumedBy,
  type AwsBroker,
  type AwsWorld,
  BROKER_KEYS,
  ROLE_ARN,
  startAwsBroker,
  startAwsWorld,
  SUBJECT,
} from './aws-world.ts'
import { canRunMoto } from './moto.ts'

const INSTALL_TIMEOUT_MS = 10 * 60_000
const PURPOSE = 'Summarise the notes of team a'
const AGENT = { name: 'notes-bot', version: '3.2.0' }

const WORK: readonly Operation[] = [
  ['put', 'reports', 'team-a/summary', 'three notes, all good'],
  ['get', 'reports', 'team-a/summary'],
  ['list', 'reports'],
  ['item', 'notes', 'n1'],
  ['put', 'reports', 'team-b/summary', 'not of this team'],
  ['get', 'reports', 'team-b/secret'],
]

const isAbsent = !(await canRunMoto()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)('AWS clients (need python3 with venv, or .cache/venv)', () => {
  let world: AwsWorld
  let aws: AwsServices

  beforeAll(async () => {
    world = await startAwsWorld()
    aws = world.aws
  }, INSTALL_TIMEOUT_MS)
  afterAll(() => world?.close())
  beforeEach(() => aws.forget())

  test('the stand-in refuses what AWS would: other keys, another session token, another policy', async () => {
    const policy = { Version: '2012-10-17', Statement: [] }
    const keys = await assumedBy(aws, {
      Action: 'AssumeRole',
      RoleArn: ROLE_ARN,
      RoleSessionName: 'nothing-allowed',
      Policy: JSON.stringify(policy),
    })
    const [js] = AWS_CLIENT_PROGRAMS
    const codeWith = async (changed: Environment) => {
      const outcomes = await js?.run([['list', 'reports']], {
        HOME: world.folder,
        AWS_ENDPOINT_URL: aws.url,
        AWS_ACCESS_KEY_ID: keys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
        AWS_SESSION_TOKEN: keys.sessionToken ?? '',
        ...changed,
      })
      return outcomes?.map((outcome) => (outcome.ok ? 'ok' : outcome.code))
    }
    expect(await codeWith({})).toEqual(['AccessDenied'])
    expect(await codeWith({ AWS_SECRET_ACCESS_KEY: 'x' })).toEqual(['SignatureDoesNotMatch'])
    expect(await codeWith({ AWS_SESSION_TOKEN: 'x' })).toEqual(['InvalidToken'])
    expect(await codeWith({ AWS_ACCESS_KEY_ID: 'ASIAOTHER' })).toEqual(['InvalidClientTokenId'])
  })

  describe.each([
    ['with ambient credentials of the broker', 'AssumeRole'],
    ['with no AWS secret anywhere', 'AssumeRoleWithWebIdentity'],
  ] as const)('%s: %s', (_, stsAction) => {
    let broker: AwsBroker
    let intentFile: string
    // How the broker gets to AWS matters to few of the ways in which its clients get to it.
    const once = (name: string, run: () => Promise<void>) => {
      if (stsAction === 'AssumeRole') test(name, run)
    }

    beforeAll(async () => {
      broker = await startAwsBroker(world, stsAction)
      intentFile = join(world.folder, 'intent.json')
      await writeFile(intentFile, JSON.stringify({ purpose: PURPOSE, agent: AGENT }))
    })
    afterAll(() => broker?.stop())

    const containerEnv = (file: string, query = ''): Environment => ({
      HOME: world.folder,
      AWS_ENDPOINT_URL: aws.url,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${broker.url}/t/reports/credentials${query}`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file,
    })
    const withPurpose = `?purpose=${encodeURIComponent(PURPOSE)}`

    /** Everything that is on record of the sessions that STS was told of. */
    const auditOf = async (sessions: readonly string[]) => {
      const pages = await Promise.all(
        sessions.map((id) => broker.admin('GET', `/audit?session=${id}&limit=200`)),
      )
      return pages.flatMap((page) => (page as { items: Record<string, unknown>[] }).items)
    }

    /** The outcome that every way has to have, and what has to be seen of it on both sides. */
    const expectWork = async (outcomes: readonly unknown[], agent: unknown) => {
      expect(outcomes).toMatchObject([
        { ok: true, value: null },
        { ok: true, value: 'three notes, all good' },
        { ok: true, value: ['team-a/summary', 'team-b/secret'] },
        { ok: true, value: 'the first note' },
        { ok: false, code: 'AccessDenied' },
        { ok: false, code: expect.stringMatching(/^(AccessDenied|403)$/) },
      ])
      expect(aws.refused).toEqual([])
      const issued = aws.stsCalls.map((call) => call.issued?.accessKeyId)
      expect(issued.length).toBeGreaterThan(0)
      for (const call of aws.calls) expect(issued).toContain(call.accessKeyId)
      expect(aws.calls.filter(({ status }) => status === 403)).toHaveLength(2)
      const sessions = aws.stsCalls.map(expectStsCall)
      const events = await auditOf([...new Set(sessions)])
      const minted = events.filter((event) => mintedKey(event) !== null)
      expect(new Set(minted.map(mintedKey))).toEqual(new Set(issued))
      for (const event of minted) {
        expect(event).toMatchObject({
          identity: `runtime:${SUBJECT}`,
          intent: { purpose: PURPOSE },
          agent: { declared: agent },
        })
      }
      const log = JSON.stringify(events)
      for (const { issued: keys } of aws.stsCalls) {
        expect(log).not.toContain(keys?.secretAccessKey)
        expect(log).not.toContain(keys?.sessionToken)
      }
    }

    /** The session that a call of STS was for. */
    const expectStsCall = ({
      action,
      parameters,
      signedBy,
      claims,
    }: AwsServices['stsCalls'][0]) => {
      expect(action).toBe(stsAction)
      expect(parameters['RoleArn']).toBe(ROLE_ARN)
      expect((parameters['Policy'] ?? '').length).toBeLessThanOrEqual(2048)
      expect(parameters['Policy']).toContain('arn:aws:s3:::reports/team-a/*')
      expect(parameters['Policy']).not.toContain('claims.team')
      if (stsAction === 'AssumeRole') {
        expect(signedBy).toBe(BROKER_KEYS.accessKeyId)
        expect(parameters['ExternalId']).toMatch(/^[\w-]{43}$/)
        return sessionTag(tagsOf(parameters))
      }
      expect(claims).toMatchObject({ iss: `${broker.url}/federation`, sub: 'sallyport:reports' })
      const tags = claims?.['https://aws.amazon.com/tags'] as {
        principal_tags: Record<string, string[]>
      }
      return sessionTag(Object.entries(tags.principal_tags).map(([key, [value]]) => [key, value]))
    }

    describe.each(AWS_CLIENT_PROGRAMS)(
      '$name',
      ({ name, run }) => {
        test('container endpoint, with the projected token as the authorization file', async () => {
          const outcomes = await run(WORK, containerEnv(broker.tokenFile, withPurpose))
          await expectWork(outcomes, null)
        })

        once('container endpoint, with a handle as the authorization file', async () => {
          const opened = await broker.typed(
            `sallyport exchange --audience reports --subject-token-file ${broker.tokenFile} ` +
              `--intent ${intentFile}`,
          )
          expect(opened.code, opened.err).toBe(0)
          const file = join(world.folder, `handle-${stsAction}-${name.replaceAll(' ', '-')}`)
          await writeFile(file, opened.out.trim())
          await expectWork(await run(WORK, containerEnv(file)), AGENT)
        })

        test('credential_process, with the CLI as it is shipped', async () => {
          const home = join(world.folder, `home-${stsAction}-${name.replaceAll(' ', '-')}`)
          await mkdir(home, { recursive: true })
          const command =
            `${process.execPath} ${world.cli} exchange --format credential-process ` +
            `--server ${broker.url} --audience reports --subject-token-file ${broker.tokenFile} ` +
            `--intent ${intentFile}`
          const config = join(home, 'config')
          await writeFile(config, `[profile agent]\ncredential_process = ${command}\n`)
          const env = {
            HOME: home,
            AWS_ENDPOINT_URL: aws.url,
            AWS_CONFIG_FILE: config,
            AWS_PROFILE: 'agent',
          }
          await expectWork(await run(WORK, env), AGENT)
        })

        once('without a purpose nothing is minted, and the client has no credentials', async () => {
          const outcomes = await run([['list', 'reports']], containerEnv(broker.tokenFile))
          expect(outcomes).toMatchObject([{ ok: false }])
          expect(aws.stsCalls).toEqual([])
          expect(aws.calls).toEqual([])
        })
      },
      120_000,
    )

    test('a claim with wildcards widens nothing', async () => {
      const file = join(world.folder, `token-star-${stsAction}`)
      await writeFile(file, await broker.tokenOf('*'))
      const [js] = AWS_CLIENT_PROGRAMS
      const outcomes = await js?.run(
        [
          ['list', 'reports'],
          ['get', 'reports', 'team-b/secret'],
          ['put', 'reports', 'team-a/summary', 'x'],
        ],
        containerEnv(file, withPurpose),
      )
      expect(outcomes).toMatchObject([
        { ok: true },
        { code: 'AccessDenied' },
        { code: 'AccessDenied' },
      ])
      expect(aws.stsCalls[0]?.parameters['Policy']).toContain('arn:aws:s3:::reports/${*}/*')
    })
  })
})

/** The key that an event says was handed over, wherever it says so; null where it says nothing. */
function mintedKey(event: Readonly<Record<string, unknown>>): string | null {
  return /"(ASIA[A-Z0-9]{16})"/.exec(JSON.stringify(event))?.[1] ?? null
}

type Tags = readonly (readonly [string, string | undefined])[]

function sessionTag(tags: Tags): string {
  const [, id] = tags.find(([key]) => key === 'sallyport_session') ?? []
  if (id === undefined) throw new Error(`no session in ${JSON.stringify(tags)}`)
  return id
}

function tagsOf(parameters: Readonly<Record<string, string>>): Tags {
  return Object.entries(parameters).flatMap(([name, key]) => {
    const [, at] = /^Tags\.member\.(\d+)\.Key$/.exec(name) ?? []
    return at === undefined ? [] : [[key, parameters[`Tags.member.${at}.Value`]] as const]
  })
}
