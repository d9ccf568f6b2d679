// The recipes of docs/aws.md, typed as they stand there as far as this machine can: the CLI as it is shipped, a
// broker without any AWS secret, the AWS CLI, and AWS as aws-services.ts has it.
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AWS_CLIENT_PROGRAMS } from './aws-client-programs.ts'
import {
  assumedBy,
  type AwsBroker,
  type AwsWorld,
  BRIEF_SECONDS,
  REGION,
  ROLE_ARN,
  startAwsBroker,
  startAwsWorld,
  TASK_ROLE_ARN,
} from './aws-world.ts'
import { canRunMoto } from './moto.ts'

const INSTALL_TIMEOUT_MS = 10 * 60_000
const PURPOSE = 'Summarise the notes of team a'

const isAbsent = !(await canRunMoto()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)(
  'recipes for AWS (need python3 with venv, or .cache/venv)',
  () => {
    let world: AwsWorld
    let broker: AwsBroker

    beforeAll(async () => {
      world = await startAwsWorld()
      broker = await startAwsBroker(world, 'AssumeRoleWithWebIdentity')
    }, INSTALL_TIMEOUT_MS)
    afterAll(async () => {
      await broker?.stop()
      await world?.close()
    })
    beforeEach(() => {
      world.aws.forget()
    })

    test('`sallyport exec` runs the AWS CLI with the credential, and revokes the session', async () => {
      const { code, out, err } = await broker.typed(
        `sallyport exec --audience reports --subject-token-file ${broker.tokenFile} --purpose '${PURPOSE}' ` +
          '--delivery credential -- aws s3 ls s3://reports/',
        // What it authenticates with is not what the command gets.
        { AWS_PROFILE: 'nobody', AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:9/' },
      )
      expect(code, err).toBe(0)
      expect(out).toContain('team-b/')
      expect(err).toMatch(/is revoked; AWS honours its credential until \d{4}-/)
      const tags = world.aws.stsCalls[0]?.claims?.['https://aws.amazon.com/tags']
      const [id = ''] = /ses_[\w-]+/.exec(JSON.stringify(tags)) ?? []
      expect(await broker.admin('GET', `/sessions/${id}`)).toMatchObject({ state: 'ended' })
    })

    test('`--format env` is what a shell needs to use the AWS CLI', async () => {
      const { code, out, err } = await broker.typed(
        `eval "$(sallyport exchange --audience reports --subject-token-file ${broker.tokenFile} ` +
          `--purpose '${PURPOSE}' --format env)" && aws s3 ls s3://reports/`,
      )
      expect(code, err).toBe(0)
      expect(out).toContain('team-b/')
    })

    test('a token that another program prints is taken from standard input', async () => {
      const config = join(world.folder, 'laptop.ini')
      const command =
        `cat ${broker.tokenFile} | sallyport exchange --audience reports --subject-token-file - ` +
        `--purpose "${PURPOSE}" --format credential-process`
      await writeFile(config, `[profile agent]\ncredential_process = sh -c '${command}'\n`)
      const env = { AWS_CONFIG_FILE: config, AWS_PROFILE: 'agent' }
      const { code, out, err } = await broker.typed('aws s3 ls s3://reports/', env)
      expect(code, err).toBe(0)
      expect(out).toContain('team-b/')
    })

    test('a job of GitHub Actions needs no file: its token is asked for, for this broker', async () => {
      const asked: string[] = []
      const runner = createServer((request, response) => {
        asked.push(`${request.url} ${request.headers.authorization}`)
        const answer = async () =>
          response.end(JSON.stringify({ value: await broker.tokenOf('team-a') }))
        void answer()
      })
      await new Promise<void>((done) => runner.listen(0, '127.0.0.1', done))
      const { port } = runner.address() as AddressInfo // it listens on TCP
      const { code, out, err } = await broker.typed(
        `sallyport exec --github-actions --audience reports --purpose '${PURPOSE}' ` +
          '--delivery credential -- aws s3 ls s3://reports/',
        {
          ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
          ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-runner',
        },
      )
      runner.close()
      expect(code, err).toBe(0)
      expect(out).toContain('team-b/')
      const audience = encodeURIComponent(broker.url)
      expect(asked).toEqual([`/token?api-version=2.0&audience=${audience} Bearer of-the-runner`])
    })

    test('the role of a task vouches for it, and gets the credential of another role', async () => {
      const role = { Action: 'AssumeRole', RoleArn: TASK_ROLE_ARN, RoleSessionName: 'task-1' }
      const task = await assumedBy(world.aws, role)
      const agent = createServer((_, response) => {
        const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey } = task
        response.end(JSON.stringify({ AccessKeyId, SecretAccessKey, Token: task.sessionToken }))
      })
      await new Promise<void>((done) => agent.listen(0, '127.0.0.1', done))
      const { port } = agent.address() as AddressInfo // it listens on TCP
      const config = join(world.folder, 'task.ini')
      const command = `sallyport exchange --audience brief --aws --purpose "${PURPOSE}" --format credential-process`
      await writeFile(config, `[profile agent]\ncredential_process = ${command}\n`)
      world.aws.stsCalls.length = 0
      const { code, out, err } = await broker.typed('aws s3 ls s3://reports/', {
        AWS_CONFIG_FILE: config,
        AWS_PROFILE: 'agent',
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/task`,
        AWS_ENDPOINT_URL_STS: world.aws.url,
        AWS_REGION: REGION,
      })
      agent.close()
      expect(code, err).toBe(0)
      expect(out).toContain('team-b/')
      // Under 15 minutes the AWS CLI asks twice (aws-refresh.test.ts).
      const issued = world.aws.stsCalls.map(({ parameters, issued: keys }) => {
        expect(parameters['RoleArn']).toBe(ROLE_ARN)
        return keys?.accessKeyId
      })
      expect(issued).not.toContain(task.accessKeyId)
      const [call] = world.aws.calls
      expect(issued).toContain(call?.accessKeyId)
    })

    test('SC-01: what lives shorter than AWS can make it ends by its session policy', async () => {
      const opened = await broker.typed(
        `sallyport exchange --audience brief --subject-token-file ${broker.tokenFile} ` +
          `--purpose '${PURPOSE}' --format json --delivery credential`,
      )
      const { aws_credentials: keys, expires_in: seconds } = JSON.parse(opened.out)
      expect(seconds).toBeLessThanOrEqual(BRIEF_SECONDS)
      const [js] = AWS_CLIENT_PROGRAMS
      const list = () =>
        js?.run([['list', 'reports']], {
          HOME: world.folder,
          AWS_ENDPOINT_URL: world.aws.url,
          AWS_ACCESS_KEY_ID: keys.AccessKeyId,
          AWS_SECRET_ACCESS_KEY: keys.SecretAccessKey,
          AWS_SESSION_TOKEN: keys.SessionToken,
        })
      expect(await list()).toMatchObject([{ ok: true }])
      await sleep(Date.parse(keys.Expiration) - Date.now())
      expect(await list()).toMatchObject([{ ok: false, code: 'AccessDenied' }])
      expect(world.aws.stsCalls[0]?.parameters['DurationSeconds']).toBe('900')
      // For AWS it lives on: only its policy ended it.
      expect(world.aws.refused).toEqual([])
    })
  },
  120_000,
)
