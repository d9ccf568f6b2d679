// How often the AWS SDKs ask again for a credential that still lives: what docs/aws.md says of short lives. The
// endpoint and the process count; the S3 that is called has nothing and knows nobody.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AWS_CLIENT_PROGRAMS, type Environment, type Operation } from './aws-client-programs.ts'
import { canRunMoto, installMoto } from './moto.ts'

const INSTALL_TIMEOUT_MS = 10 * 60_000
const CALLS = 6
/** Each in a process of its own. */
const RUNS_OF_CLI = 2
const EMPTY_BUCKET =
  '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
  '<Name>b</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>'

const isAbsent = !(await canRunMoto()) && process.env['CI'] === undefined

describe.skipIf(isAbsent)(
  'AWS clients (need python3 with venv, or .cache/venv)',
  () => {
    let folder: string
    let endpoint: Server
    let s3: Server
    let fetched = 0
    let lifeSeconds = 0

    beforeAll(async () => {
      await installMoto()
      folder = await mkdtemp(join(tmpdir(), 'sallyport-refresh-'))
      await writeFile(join(folder, 'token'), 'token')
      endpoint = await listen((_, response) => {
        fetched++
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ ...keys(lifeSeconds), Token: 't' }))
      })
      s3 = await listen((request, response) => {
        request.resume()
        response.writeHead(200, { 'content-type': 'application/xml' })
        response.end(EMPTY_BUCKET)
      })
    }, INSTALL_TIMEOUT_MS)

    afterAll(async () => {
      for (const server of [endpoint, s3]) {
        server?.closeAllConnections()
        server?.close()
      }
      await rm(folder, { recursive: true, force: true })
    })

    /** Fetches by the endpoint, and runs of the process, for the same calls. */
    const countsOf = async (minutes: number, name: string) => {
      lifeSeconds = minutes * 60
      const program = AWS_CLIENT_PROGRAMS.find((one) => one.name === name)
      const common = { HOME: folder, AWS_ENDPOINT_URL: urlOf(s3) }
      const calls = name === 'AWS CLI' ? RUNS_OF_CLI : CALLS
      const list: Operation = ['list', 'b']
      const run = async (env: Environment) => {
        const outcomes = await program?.run(Array<Operation>(calls).fill(list), {
          ...common,
          ...env,
        })
        expect(outcomes?.map(({ ok }) => ok)).toEqual(Array<boolean>(calls).fill(true))
      }
      fetched = 0
      await run({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${urlOf(endpoint)}/t/b/credentials?purpose=a%20b`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: join(folder, 'token'),
      })
      const runs = join(folder, `runs-${crypto.randomUUID()}`)
      await run(await processEnv(folder, runs, lifeSeconds))
      return { fetched, runs: (await readFile(runs, 'utf8')).length }
    }

    test.each([4, 10, 14])('boto3 asks before every call with %i minutes left', async (minutes) => {
      expect(await countsOf(minutes, 'boto3')).toEqual({ fetched: CALLS + 1, runs: CALLS + 1 })
    })

    test.each([4, 10, 14])(
      'the AWS CLI asks twice in a run with %i minutes left',
      async (minutes) => {
        const twice = 2 * RUNS_OF_CLI
        expect(await countsOf(minutes, 'AWS CLI')).toEqual({ fetched: twice, runs: twice })
      },
    )

    test('with 16 minutes left boto3 asks once, and the AWS CLI once in a run', async () => {
      expect(await countsOf(16, 'boto3')).toEqual({ fetched: 1, runs: 1 })
      expect(await countsOf(16, 'AWS CLI')).toEqual({ fetched: RUNS_OF_CLI, runs: RUNS_OF_CLI })
    })

    test('the SDK for JavaScript asks once above five minutes, and again and again below', async () => {
      const js = 'AWS SDK for JavaScript'
      for (const minutes of [10, 14, 16]) {
        expect(await countsOf(minutes, js)).toEqual({ fetched: 1, runs: 1 })
      }
      const short = await countsOf(4, js)
      expect(short.fetched).toBeGreaterThan(1)
      expect(short.runs).toBeGreaterThan(1)
    })
  },
  120_000,
)

function keys(seconds: number): Readonly<Record<string, string>> {
  const end = new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+/, '')
  return { AccessKeyId: 'ASIAEXAMPLE', SecretAccessKey: 'x', Expiration: end }
}

/** A `credential_process` that leaves a letter for each run. */
async function processEnv(folder: string, runs: string, seconds: number): Promise<Environment> {
  const script = join(folder, 'process.sh')
  const document = JSON.stringify({ Version: 1, ...keys(seconds), SessionToken: 't' })
  await writeFile(script, `#!/bin/sh\nprintf x >> ${runs}\ncat <<'END'\n${document}\nEND\n`)
  await chmod(script, 0o700)
  const config = join(folder, 'config')
  await writeFile(config, `[profile agent]\ncredential_process = ${script}\n`)
  return { AWS_CONFIG_FILE: config, AWS_PROFILE: 'agent' }
}

async function listen(handler: RequestListener): Promise<Server> {
  const server = createServer(handler)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return server
}

function urlOf(server: Server): string {
  const { port } = server.address() as AddressInfo // it listens on TCP
  return `http://127.0.0.1:${port}`
}
