// A real SPIRE server and agent on loopback: built from source into .cache/bin when they are missing.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../functions/cli/quickstart-world.ts'
import { stopChild } from './broker-process.ts'

const run = promisify(execFile)
const MODULE = resolve(import.meta.dirname, 'spire')
const BIN = resolve(import.meta.dirname, '../../.cache/bin')
const PROGRAMS = ['spire-server', 'spire-agent'] as const
const START_TIMEOUT_MS = 60_000
const KEYS_FILE = 'keys.json'

export type Spire = {
  readonly trustDomain: string
  readonly bundleUrl: string
  /** The certificate of an `https_web` endpoint, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string
  /** Where the server keeps its private keys (SPIRE's `disk` key manager). */
  readonly keysFile: string
  /** Runs `spire-server` with a command; what it prints. */
  server(...args: string[]): Promise<string>
  /** The JWT-SVID of this very process, from the Workload API. */
  fetchJwtSvid(audience: string): Promise<string>
  /** Its X509-SVID: chain and key in PEM. */
  fetchX509Svid(): Promise<{ readonly cert: string; readonly key: string }>
  stop(): Promise<void>
}

/** Whether SPIRE is there or can be built. */
export async function canRunSpire(): Promise<boolean> {
  const has = (program: string, ...args: string[]) =>
    run(program, args).then(
      () => true,
      () => false,
    )
  const isBuilt = PROGRAMS.every((program) => existsSync(join(BIN, program)))
  return (isBuilt || (await has('go', 'version'))) && (await has('openssl', 'version'))
}

/** Takes minutes on the first run; the module beside this file pins every version. */
export async function buildSpire(): Promise<void> {
  if (PROGRAMS.every((program) => existsSync(join(BIN, program)))) return
  const packages = PROGRAMS.map((program) => `github.com/spiffe/spire/cmd/${program}`)
  await run('go', ['build', '-mod=readonly', '-o', `${BIN}/`, ...packages], {
    cwd: MODULE,
    maxBuffer: 64 * 1024 * 1024,
  })
}

/** One trust domain, one agent, one entry: every process of this user is `spiffeId`. */
export async function startSpire(
  trustDomain: string,
  spiffeId: string,
  { profile = 'https_web' }: { readonly profile?: 'https_web' | 'https_spiffe' } = {},
): Promise<Spire> {
  const folder = await mkdtemp(join(tmpdir(), 'spire-'))
  const [serverPort, bundlePort] = [await freePort(), await freePort()]
  const serverSocket = join(folder, 'server.sock')
  const agentSocket = join(folder, 'agent.sock')
  const children: ChildProcess[] = []
  const stop = async () => {
    await Promise.all(children.map(stopChild))
    await rm(folder, { recursive: true, force: true })
  }
  const server = async (...args: string[]) =>
    (await run(join(BIN, 'spire-server'), [...args, '-socketPath', serverSocket])).stdout
  try {
    await makeCertificate(folder)
    const serverConfig = join(folder, 'server.conf')
    await writeFile(
      serverConfig,
      serverConf({ folder, trustDomain, profile, serverPort, bundlePort }),
    )
    const serverProcess = start('spire-server', ['run', '-config', serverConfig], folder)
    children.push(serverProcess)
    await eventually(() => server('healthcheck'), serverProcess)

    const bundleFile = join(folder, 'bundle.pem')
    await writeFile(bundleFile, await server('bundle', 'show', '-format', 'pem'))
    const generated: { value: string } = JSON.parse(
      await server('token', 'generate', '-output', 'json'),
    )
    const agentConfig = join(folder, 'agent.conf')
    await writeFile(agentConfig, agentConf({ folder, trustDomain, serverPort }))
    const agentArgs = ['run', '-config', agentConfig, '-joinToken', generated.value]
    const agentProcess = start('spire-agent', agentArgs, folder)
    children.push(agentProcess)
    const agent = join(BIN, 'spire-agent')
    await eventually(() => run(agent, ['healthcheck', '-socketPath', agentSocket]), agentProcess)

    const parent = `spiffe://${trustDomain}/spire/agent/join_token/${generated.value}`
    const entry = ['-parentID', parent, '-spiffeID', spiffeId]
    const selector = ['-selector', `unix:uid:${process.getuid?.() ?? 0}`]
    await server('entry', 'create', ...entry, ...selector)
    return {
      trustDomain,
      bundleUrl: `https://127.0.0.1:${bundlePort}`,
      caFile: join(folder, 'cert.pem'),
      keysFile: join(folder, KEYS_FILE),
      server,
      async fetchJwtSvid(audience) {
        // The agent learns of a new entry at its next sync, some seconds later.
        const args = ['api', 'fetch', 'jwt', '-audience', audience, '-output', 'json']
        const { stdout } = await eventually(
          () => run(agent, [...args, '-socketPath', agentSocket]),
          agentProcess,
        )
        return firstSvid(JSON.parse(stdout))
      },
      async fetchX509Svid() {
        const args = ['api', 'fetch', 'x509', '-write', folder, '-socketPath', agentSocket]
        await eventually(() => run(agent, args), agentProcess)
        const read = (name: string) => readFile(join(folder, name), 'utf8')
        return { cert: await read('svid.0.pem'), key: await read('svid.0.key') }
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function firstSvid(answer: unknown): string {
  for (const part of Array.isArray(answer) ? answer : [answer]) {
    const svid = (part as { svids?: { svid?: unknown }[] }).svids?.[0]?.svid
    if (typeof svid === 'string') return svid
  }
  throw new Error('the Workload API gave no JWT-SVID')
}

async function makeCertificate(folder: string): Promise<void> {
  const request = 'req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2'
  const names = ['-subj', '/CN=bundle endpoint', '-addext', 'subjectAltName=IP:127.0.0.1']
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]
  await run('openssl', [...request.split(' '), ...names, ...files])
}

type ConfFacts = { readonly folder: string; readonly trustDomain: string; serverPort: number }

function serverConf(
  facts: ConfFacts & { readonly profile: string; readonly bundlePort: number },
): string {
  const { folder, trustDomain, profile, serverPort, bundlePort } = facts
  const serving = `
        serving_cert_file {
          cert_file_path = "${folder}/cert.pem"
          key_file_path = "${folder}/key.pem"
          file_sync_interval = "1h"
        }`
  return `
server {
  bind_address = "127.0.0.1"
  bind_port = ${serverPort}
  socket_path = "${folder}/server.sock"
  trust_domain = "${trustDomain}"
  data_dir = "${folder}/server"
  log_level = "WARN"
  federation {
    bundle_endpoint {
      address = "127.0.0.1"
      port = ${bundlePort}
      refresh_hint = "30s"
      profile "${profile}" {${profile === 'https_web' ? serving : ''}
      }
    }
  }
}
plugins {
  DataStore "sql" {
    plugin_data { database_type = "sqlite3" connection_string = "${folder}/server.sqlite3" }
  }
  KeyManager "disk" { plugin_data { keys_path = "${folder}/${KEYS_FILE}" } }
  NodeAttestor "join_token" { plugin_data {} }
}
`
}

function agentConf({ folder, trustDomain, serverPort }: ConfFacts): string {
  return `
agent {
  server_address = "127.0.0.1"
  server_port = ${serverPort}
  socket_path = "${folder}/agent.sock"
  trust_domain = "${trustDomain}"
  trust_bundle_path = "${folder}/bundle.pem"
  data_dir = "${folder}/agent"
  log_level = "WARN"
  experimental { sync_interval = "1s" }
}
plugins {
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`
}

function start(program: (typeof PROGRAMS)[number], args: string[], folder: string): ChildProcess {
  const child = spawn(join(BIN, program), args, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  child.once('error', () => undefined)
  return child
}

/** What it gives, as soon as it gives it; `process` has to be alive for it. */
async function eventually<T>(attempt: () => Promise<T>, process: ChildProcess): Promise<T> {
  const deadline = Date.now() + START_TIMEOUT_MS
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (process.exitCode !== null || Date.now() > deadline) throw error
      await sleep(250)
    }
  }
}
