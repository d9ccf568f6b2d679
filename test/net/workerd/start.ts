// workerd itself with one Worker. Test harnesses that put Node's fetch behind the Worker's would answer
// for Node: they follow redirects that workerd does not.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { build } from 'esbuild'

export type RunningWorkerd = { readonly url: string; stop(): Promise<void> }

const CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-10-01",
    )),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`

export async function startWorkerd(entryPoint: string): Promise<RunningWorkerd> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-workerd-'))
  await build({
    entryPoints: [entryPoint],
    outfile: join(folder, 'worker.js'),
    bundle: true,
    format: 'esm',
    conditions: ['workerd', 'worker'],
    external: ['node:*'],
    logLevel: 'error',
  })
  writeFileSync(join(folder, 'config.capnp'), CONFIG)
  const child = spawn(workerdBinary(), ['serve', '--control-fd=3', join(folder, 'config.capnp')], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    // The fourth stream is the pipe that was asked for above.
    url: `http://127.0.0.1:${await listeningPort(child.stdio[3] as Readable)}`,
    stop: async () => {
      child.kill()
      await exited
      rmSync(folder, { recursive: true })
    },
  }
}

/** wrangler's own workerd, wherever it was installed. */
function workerdBinary(): string {
  const fromWrangler = createRequire(createRequire(import.meta.url).resolve('wrangler'))
  const fromMiniflare = createRequire(fromWrangler.resolve('miniflare'))
  // workerd's package exports the path of its binary under this name.
  return (fromMiniflare('workerd') as { readonly default: string }).default
}

function listeningPort(control: Readable): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = ''
    control.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const [, port] = /"event":"listen".*"port":(\d+)/.exec(text) ?? []
      if (port !== undefined) resolve(Number(port))
    })
    control.once('close', () => reject(new Error('workerd ended before it listened')))
  })
}
