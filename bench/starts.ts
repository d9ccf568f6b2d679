// How long a start takes: the Node bundle from its spawn to its first answer, the Lambda bundle's import,
// the whole quickstart. Each several times, and of those the median.
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { startNodeBroker } from './processes.ts'

export type StartTimes = {
  /** With nothing to run: what Node itself needs. */
  readonly bareNodeMs: number
  /** A new database, its migrations and the first key included. */
  readonly nodeMs: number
  readonly lambdaImportMs: number
  readonly quickstartMs: number
}

export async function measureStarts(times: number): Promise<StartTimes> {
  return {
    bareNodeMs: await medianOf(times, () => timed(['-e', '0'])),
    nodeMs: await medianOf(times, startOfNode),
    lambdaImportMs: await medianOf(times, importOfLambda),
    quickstartMs: await medianOf(1, () => timed(['functions/cli/quickstart.ts'])),
  }
}

async function startOfNode(): Promise<number> {
  const broker = await startNodeBroker({})
  await broker.stop()
  return broker.startMs
}

/** Measured inside the process, so that Node's own start is not in it, as it is not in Lambda's report. */
async function importOfLambda(): Promise<number> {
  const bundle = JSON.stringify(resolve('dist/lambda/index.mjs'))
  const code = `const t = performance.now(); await import(${bundle}); process.stdout.write(String(performance.now() - t)); process.exit(0)`
  return Number(await outputOf(['--input-type=module', '-e', code]))
}

async function timed(args: readonly string[]): Promise<number> {
  const started = performance.now()
  await outputOf(args)
  return performance.now() - started
}

function outputOf(args: readonly string[]): Promise<string> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.once('error', failed)
    child.once('exit', (code) => {
      if (code === 0) done(output)
      else failed(new Error(`${args.join(' ')} ended with ${code}`))
    })
  })
}

async function medianOf(times: number, run: () => Promise<number>): Promise<number> {
  const seen: number[] = []
  for (let time = 0; time < times; time += 1) seen.push(await run())
  seen.sort((a, b) => a - b)
  return seen[Math.floor((seen.length - 1) / 2)] ?? NaN
}
