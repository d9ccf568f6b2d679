// The command of `sallyport exec`: it has the terminal, gets the signals that this process gets, and its end is
// this process's end.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { usage } from './io.ts'

export type ChildEnvironment = {
  readonly set: Readonly<Record<string, string>>
  readonly unset: readonly string[]
}

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
/** A terminal sends these to the command as well; twice would mean something else to it. */
const OF_THE_TERMINAL: readonly string[] = ['SIGINT', 'SIGQUIT']

export function runChild(
  [program = '', ...args]: readonly string[],
  { set, unset }: ChildEnvironment,
): Promise<number> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !unset.includes(name)),
  )
  const child = spawn(program, args, { stdio: 'inherit', env: { ...env, ...set } })
  const forward = (signal: NodeJS.Signals) => {
    if (process.stdin.isTTY && OF_THE_TERMINAL.includes(signal)) return
    child.kill(signal)
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  return new Promise<number>((resolve, reject) => {
    child.once('error', (error) => {
      const code = 'code' in error ? String(error.code) : 'unknown'
      reject(usage(`${program} cannot be run (${code})`))
    })
    child.once('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  }).finally(() => {
    for (const signal of FORWARDED) process.off(signal, forward)
  })
}
