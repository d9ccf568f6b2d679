// What commands of the CLI have in common.
import type { Command } from 'commander'

/** A command that talks to a broker. */
export function brokerCommand(parent: Command, nameAndArguments: string, summary: string): Command {
  return parent
    .command(nameAndArguments)
    .description(summary)
    .option('--server <origin>', 'the broker (SALLYPORT_URL)')
    .option('--json', 'print JSON')
}

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}

/** Collects an option that may be repeated. */
export function repeated(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}
