// The CLI against a real broker in this process, and against none.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApp } from '../../functions/app.ts'
import type { ChildEnvironment } from '../../functions/cli/child.ts'
import { type CliIo, usage } from '../../functions/cli/io.ts'
import { createPrivate, readPrivate } from '../../functions/cli/private-file.ts'
import { run } from '../../functions/cli/program.ts'
import { freePort } from '../../functions/cli/quickstart-world.ts'
import { startNode } from '../../functions/platforms/node.ts'

type Ran = { readonly exitCode: number; readonly out: string; readonly err: string }

export type Cli = {
  /** Files that the CLI can read; `-` is standard input. */
  readonly files: Record<string, string>
  readonly env: Record<string, string>
  /** What a person answers; null is nobody. */
  answer: boolean | null
  /** What `exec` was to run; it ends as `child` says. */
  readonly ran: ({ readonly command: readonly string[] } & ChildEnvironment)[]
  child: (variables: ChildEnvironment['set']) => Promise<number>
  run(...args: readonly string[]): Promise<Ran>
  /** For a command that is called by itself. */
  io(out: (text: string) => void, err?: (text: string) => void): CliIo
}

export function cli(env: Readonly<Record<string, string>> = {}): Cli {
  const rig: Cli = {
    files: {},
    env: { ...env },
    answer: null,
    ran: [],
    child: () => Promise.resolve(0),
    async run(...args) {
      const out: string[] = []
      const err: string[] = []
      const io = rig.io(
        (text) => void out.push(text),
        (text) => void err.push(text),
      )
      const exitCode = await run(args, io)
      return { exitCode, out: out.join('\n'), err: err.join('\n') }
    },
    io: (out, err = () => undefined) => ({
      env: (name) => rig.env[name],
      fetch: globalThis.fetch,
      nowMs: () => Date.now(),
      out,
      err,
      readText(path) {
        const text = rig.files[path]
        return text === undefined
          ? Promise.reject(usage(`${path} cannot be read (ENOENT)`))
          : Promise.resolve(text)
      },
      confirm: () => Promise.resolve(rig.answer),
      sleep: () => Promise.resolve(),
      readPrivate,
      createPrivate,
      runChild(command, environment) {
        rig.ran.push({ command, ...environment })
        return rig.child(environment.set)
      },
    }),
  }
  return rig
}

export type BrokerRig = {
  readonly url: string
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

export async function startBroker(
  settings: Readonly<Record<string, string>> = {},
): Promise<BrokerRig> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-cli-'))
  const port = await freePort()
  const env: Readonly<Record<string, string>> = {
    PORT: String(port),
    DATABASE_URL: `file:${join(folder, 'sallyport.db')}`,
    SALLYPORT_ADMIN_TOKEN: randomBytes(32).toString('base64url'),
    SALLYPORT_ALLOW_INSECURE_LOOPBACK: '1',
    LOG_LEVEL: 'error',
    ...settings,
  }
  const started = await startNode(createApp, (name) => env[name])
  if (!started.ok) throw new Error(JSON.stringify(started.failure))
  return {
    url: started.value.url,
    env: { ...env, SALLYPORT_URL: started.value.url },
    async close() {
      await started.value.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
