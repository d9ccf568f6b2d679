// What a command of the CLI needs of the process it runs in, and how it ends. Tests give their own.
// Commands throw CliError for what a user or the broker can cause: commander reports its own mistakes
// by throwing too, and program.ts turns both into an exit code.
import type { ChildEnvironment } from './child.ts'

/** Documented in `sallyport --help`; scripts rely on them. */
export const EXIT = {
  ok: 0,
  /** The broker refused, or a check failed. */
  refused: 1,
  /** The command line, a file or the environment is wrong. */
  usage: 2,
  /** The broker cannot be reached, or says that it cannot answer now. */
  unavailable: 3,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export type CliIo = {
  readonly env: (name: string) => string | undefined
  readonly fetch: typeof fetch
  readonly nowMs: () => number
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** The text of a file, or of standard input for `-`. Throws CliError. */
  readonly readText: (path: string) => Promise<string>
  /** Asks a person; null when there is nobody to ask. */
  readonly confirm: (question: string) => Promise<boolean | null>
  readonly sleep: (ms: number) => Promise<void>
  /** A file that only its owner may read; null when there is none. Throws CliError. */
  readonly readPrivate: (path: string) => Promise<string | null>
  /** Makes one; false when it is there. Throws CliError. */
  readonly createPrivate: (path: string, text: string) => Promise<boolean>
  /** Runs a command in this environment, with changes, and gives its exit code. Throws CliError. */
  readonly runChild: (command: readonly string[], environment: ChildEnvironment) => Promise<number>
}

export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: ExitCode
  /** What `--json` prints: the broker's own answer, where there is one. */
  readonly body: unknown

  constructor(exitCode: ExitCode, message: string, body?: unknown) {
    super(message)
    this.exitCode = exitCode
    this.body = body === undefined ? { error: message } : body
  }
}

export function usage(message: string): CliError {
  return new CliError(EXIT.usage, message)
}
