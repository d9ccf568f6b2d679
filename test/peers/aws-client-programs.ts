// The three ways in which AWS is used from a program, unmodified, each in processes of its own with nothing in
// the environment but what a test says.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export type Operation = readonly [name: 'list' | 'put' | 'get' | 'item', ...args: string[]]

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string }

export type ClientProgram = {
  readonly name: string
  run(operations: readonly Operation[], env: Environment): Promise<readonly Outcome[]>
}

export type Environment = Readonly<Record<string, string>>

const ROOT = resolve(import.meta.dirname, '../..')
const VENV = join(ROOT, '.cache/venv/bin')

export const AWS_CLIENT_PROGRAMS: readonly ClientProgram[] = [
  {
    name: 'AWS SDK for JavaScript',
    run: (operations, env) =>
      inOneProcess([process.execPath, 'test/peers/clients/sdk-js.mjs'], operations, env),
  },
  {
    name: 'boto3',
    run: (operations, env) =>
      inOneProcess([join(VENV, 'python3'), 'test/peers/clients/sdk-python.py'], operations, env),
  },
  { name: 'AWS CLI', run: (operations, env) => inManyProcesses(operations, env) },
]

type Ended = { readonly code: number; readonly out: string; readonly err: string }

function start([program = '', ...args]: readonly string[], env: Environment): Promise<Ended> {
  const full = {
    PATH: process.env['PATH'] ?? '',
    AWS_REGION: 'eu-central-1',
    AWS_DEFAULT_REGION: 'eu-central-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_MAX_ATTEMPTS: '1',
    ...env,
  }
  return new Promise((done) => {
    execFile(program, args, { cwd: ROOT, env: full }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      done({ code, out, err })
    })
  })
}

async function inOneProcess(
  command: readonly string[],
  operations: readonly Operation[],
  env: Environment,
): Promise<readonly Outcome[]> {
  const { code, out, err } = await start([...command, JSON.stringify(operations)], env)
  if (code !== 0) throw new Error(err)
  return JSON.parse(out) as readonly Outcome[]
}

async function inManyProcesses(
  operations: readonly Operation[],
  env: Environment,
): Promise<readonly Outcome[]> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-aws-'))
  const outcomes: Outcome[] = []
  for (const [name, ...args] of operations) outcomes.push(await OF_CLI[name](args, folder, env))
  await rm(folder, { recursive: true, force: true })
  return outcomes
}

type OfCli = (args: readonly string[], folder: string, env: Environment) => Promise<Outcome>

const OF_CLI: Readonly<Record<Operation[0], OfCli>> = {
  async list([bucket = ''], _, env) {
    const ended = await aws(['s3api', 'list-objects-v2', '--bucket', bucket], env)
    return outcomeOf(ended, () => {
      const { Contents: found = [] } = JSON.parse(ended.out || '{}') as {
        Contents?: { Key: string }[]
      }
      return found.map(({ Key: key }) => key)
    })
  },
  async put([bucket, key, text = ''], folder, env) {
    const file = join(folder, 'put')
    await writeFile(file, text)
    return outcomeOf(await aws(['s3', 'cp', file, `s3://${bucket}/${key}`], env), () => null)
  },
  async get([bucket, key], folder, env) {
    const file = join(folder, 'got')
    const ended = await aws(['s3', 'cp', `s3://${bucket}/${key}`, file], env)
    const text = ended.code === 0 ? await readFile(file, 'utf8') : ''
    return outcomeOf(ended, () => text)
  },
  async item([table = '', id], _, env) {
    const key = JSON.stringify({ id: { S: id } })
    const ended = await aws(['dynamodb', 'get-item', '--table-name', table, '--key', key], env)
    return outcomeOf(ended, () => {
      const { Item: item } = JSON.parse(ended.out || '{}') as { Item?: { text?: { S: string } } }
      return item?.text?.S ?? null
    })
  },
}

function aws(args: readonly string[], env: Environment): Promise<Ended> {
  return start([join(VENV, 'aws'), ...args], env)
}

function outcomeOf({ code, err }: Ended, value: () => unknown): Outcome {
  if (code === 0) return { ok: true, value: value() }
  // `An error occurred (AccessDenied) when calling …`, or `… (403) when …` of a HEAD.
  return { ok: false, code: /\((\w+)\)/.exec(err)?.[1] ?? 'unknown', message: err.trim() }
}
