// The commands of `sallyport` and how they end. `run` never exits the process: main.ts does. What only one
// command needs is loaded by it: AWS SDKs run `exchange` as often as they like.
import { Command, CommanderError, Option } from 'commander'
import { ORIGIN_KINDS } from '../core/intent.ts'
import { auditList, auditTail } from './audit.ts'
import { brokerCommand, examples, repeated } from './command.ts'
import { explainRecorded } from './explain-session.ts'
import { CliError, type CliIo, EXIT } from './io.ts'
import { deleteSecret, listSecrets, setSecret } from './secrets.ts'
import { changeState, listSessions, revoke } from './sessions.ts'
import { exchangeCommand, execCommand } from './token-commands.ts'

const EXIT_CODES = `
Exit codes:
  0  done
  1  refused by the broker, or a check failed
  2  wrong usage: command line, file or environment
  3  the broker cannot be reached or cannot answer now
exec ends as its command does: with its exit code, or 128 and the number of the signal.

Environment:
  SALLYPORT_URL          the broker (default http://127.0.0.1:8787)
  SALLYPORT_ADMIN_TOKEN  the set-up token, or a handle with a role on sallyport-admin`

export async function run(args: readonly string[], io: CliIo): Promise<number> {
  let exitCode: number = EXIT.ok
  const program = createProgram(io, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return exitCode
  } catch (error) {
    // Commander has printed its own message; help and version end with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    if (!(error instanceof CliError)) throw error
    if (!wantsJson(args)) io.err(error.message)
    else if (error.body !== null) io.out(JSON.stringify(error.body))
    return error.exitCode
  }
}

/** What follows `--` is somebody else's. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  const own = end === -1 ? args : args.slice(0, end)
  return own.some(
    (one, at) =>
      ['--json', '--format=json'].includes(one) || (one === 'json' && own[at - 1] === '--format'),
  )
}

function createProgram(io: CliIo, end: (exitCode: number) => void): Command {
  const program = new Command('sallyport')
    .description('A serverless credential broker for AI agents')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
    })
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', EXIT_CODES)
  serveCommand(program, io)
  applyCommand(program, io)
  exchangeCommand(program, io)
  execCommand(program, io, end)
  auditCommands(program, io)
  sessionCommands(program, io)
  secretCommands(program, io)
  doctorCommand(program, io)
  explainCommand(program, io)
  return program
}

function serveCommand(program: Command, io: CliIo): void {
  program
    .command('serve')
    .description('run the broker in this process')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('sallyport serve', 'PORT=9000 sallyport serve'))
    .action(async (options) => (await import('./serve.ts')).serve(options, io))
}

function applyCommand(program: Command, io: CliIo): void {
  brokerCommand(program, 'apply <file...>', 'make the policy what these files say')
    .option('--dry-run', 'only show what would change')
    .option('--no-prune', 'keep what the files do not name')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      examples(
        'sallyport apply policy.yaml --dry-run',
        'sallyport apply methods.yaml bindings.yaml --yes',
      ),
    )
    .action(async (files, options) => (await import('./apply.ts')).apply(files, options, io))
}

function auditCommands(program: Command, io: CliIo): void {
  const audit = program.command('audit').description('read the audit trail')
  const filtered = (name: string, summary: string) =>
    brokerCommand(audit, name, summary)
      .option('--session <id>', 'only this session')
      .option('--decision <id>', 'only this decision')
      .addOption(
        new Option('--type <type>', 'only this type of event').choices([
          'decision',
          'grant',
          'action',
          'outcome',
          'refusal',
          'revocation',
          'state',
          'admin',
        ]),
      )
      .addOption(
        new Option('--origin <kind>', 'declared: why it happened').choices([...ORIGIN_KINDS]),
      )
      .addOption(
        new Option('--origin-attested <kind>', 'proven by a token').choices([...ORIGIN_KINDS]),
      )
  filtered('list', 'print events, oldest first')
    .option('--limit <n>', 'at most this many', '200')
    .addHelpText(
      'after',
      examples('sallyport audit list --session ses_…', 'sallyport audit list --origin agent'),
    )
    .action((options) => auditList(options, io))
  filtered('tail', 'print events as they come')
    .addHelpText('after', examples('sallyport audit tail --type refusal --json'))
    .action((options) => auditTail({ ...options, limit: '1' }, io))
}

function selecting(command: Command): Command {
  return command
    .option('--method <name>', 'opened through this Auth Method')
    .option('--identity <identity>', 'of this identity')
    .option('--target <name>', 'with a grant at this target')
    .option('--binding <name>', 'granted by this binding')
    .option('--agent <name>', 'of this agent')
}

function sessionCommands(program: Command, io: CliIo): void {
  selecting(brokerCommand(program, 'sessions', 'list sessions'))
    .option('--state <state>', 'active, narrowed, suspended or ended')
    .option('--root <session>', 'all that descend from this session')
    .addHelpText('after', examples('sallyport sessions --state active --target crm'))
    .action((options) => listSessions(options, io))
  selecting(brokerCommand(program, 'revoke [session]', 'end sessions'))
    .option('--issuer <issuer>', 'of this issuer')
    .option('--reason <text>', 'kept in the audit trail')
    .addHelpText(
      'after',
      examples('sallyport revoke ses_…', "sallyport revoke --agent bot --reason 'incident 7'"),
    )
    .action((session, options) => revoke(session, options, io))
  stateCommands(program, io)
}

function stateCommands(program: Command, io: CliIo): void {
  const changing = (name: 'narrow' | 'suspend' | 'restore', summary: string) =>
    brokerCommand(program, `${name} <session>`, summary).option(
      '--reason <text>',
      'kept in the audit trail',
    )
  changing('narrow', 'take effects away from a session')
    .requiredOption('--effect <effect>', 'what it may no longer do; may be repeated', repeated)
    .addHelpText('after', examples('sallyport narrow ses_… --effect write --effect delete'))
    .action((session, options) => changeState('narrow', session, options, io))
  changing('suspend', 'let a session do nothing until it is restored')
    .addHelpText('after', examples("sallyport suspend ses_… --reason 'incident 7'"))
    .action((session, options) => changeState('suspend', session, options, io))
  changing('restore', 'give a narrowed or suspended session back what it had')
    .option('--state-event <id>', 'only if this was the last change of its state')
    .addHelpText('after', examples("sallyport restore ses_… --reason 'false alarm'"))
    .action((session, options) => changeState('restore', session, options, io))
}

function secretCommands(program: Command, io: CliIo): void {
  const secrets = program.command('secrets').description('sealed secrets of targets')
  brokerCommand(secrets, 'set <name>', 'write a secret; its value comes from standard input')
    .requiredOption('--allowed-origin <origin>', 'where it may be sent; may be repeated', repeated)
    .option('--file <file>', 'read the value from a file', '-')
    .addHelpText(
      'after',
      examples('sallyport secrets set crm-token --allowed-origin https://crm.example < token.txt'),
    )
    .action((name, options) => setSecret(name, options, io))
  brokerCommand(secrets, 'list', 'names and origins; never values').action((options) =>
    listSecrets(options, io),
  )
  brokerCommand(secrets, 'delete <name>', 'remove a secret that nothing uses').action(
    (name, options) => deleteSecret(name, options, io),
  )
}

function doctorCommand(program: Command, io: CliIo): void {
  brokerCommand(program, 'doctor', 'look for what is wrong, and say how to mend it')
    .option('--store', 'also the settings and the store of this environment')
    .addHelpText('after', examples('sallyport doctor', 'sallyport doctor --store --json'))
    .action(async (options) => (await import('./doctor.ts')).doctor(options, io))
}

function explainCommand(program: Command, io: CliIo): void {
  brokerCommand(
    program,
    'explain [id]',
    'say how a session stands and why, what a decision was, or which Auth Methods would take a token',
  )
    .option('--token-file <file>', 'the token; - is standard input', '-')
    .option('--token-type <type>', 'jwt, id_token, aws-sigv4, opaque or a URN (default: its form)')
    .option('--policy <file...>', 'policy files, instead of the policy of --server')
    .option('--issuer <origin>', 'the origin of the broker (SALLYPORT_ISSUER)')
    .option('--auth-method <name>', 'only this Auth Method')
    .option('--fetch-keys', 'also check the signature, with keys from the network')
    .addHelpText(
      'after',
      examples(
        'sallyport explain ses_…',
        'sallyport explain dec_… --json',
        'sallyport explain --policy policy.yaml --token-file token.jwt',
        'sallyport explain --server https://broker.example --json < token.jwt',
      ),
    )
    .action(async (id, options) =>
      id === undefined
        ? (await import('./explain.ts')).explain(options, io)
        : explainRecorded(id, options, io),
    )
}
