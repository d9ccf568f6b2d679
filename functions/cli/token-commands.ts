// The commands that ask for a token: `exchange` prints it, `exec` runs a command with it.
import { type Command, Option } from 'commander'
import { brokerCommand, examples, repeated } from './command.ts'
import { DELIVERIES, exchange, FORMAT_NAMES } from './exchange.ts'
import { exec } from './exec.ts'
import type { CliIo } from './io.ts'

export function exchangeCommand(program: Command, io: CliIo): void {
  requesting(
    brokerCommand(
      program,
      'exchange',
      'exchange a workload token for a session handle, or for an AWS credential',
    ),
  )
    .addOption(
      new Option('--format <format>', 'what standard output gets (default: handle)').choices(
        FORMAT_NAMES,
      ),
    )
    .addOption(
      new Option('--delivery <delivery>', 'ask for a session or a credential (default: by format)')
        // commander wants an array of its own.
        .choices([...DELIVERIES]),
    )
    .option(
      '--dpop [file]',
      'bind the handle to the P-256 key of this file, which is made if need be',
    )
    .addHelpText(
      'after',
      examples(
        "HANDLE=$(sallyport exchange --audience crm --subject-token-file token.jwt --purpose 'weekly report')",
        'sallyport exchange --audience crm --subject-token-file - --intent intent.yaml --json < token.jwt',
        'sallyport exchange --audience crm --aws --server https://broker.example',
        'sallyport exchange --audience crm --subject-token-file token.jwt --dpop',
        'eval "$(sallyport exchange --audience reports-s3 --subject-token-file token.jwt --format env)"',
        'credential_process = sallyport exchange --audience reports-s3 --subject-token-file /path/token --format credential-process',
      ),
    )
    .action((options) => exchange(options, io))
}

/** Of a command that asks for a token. */
function requesting(command: Command): Command {
  return command
    .requiredOption('--audience <target>', 'a target; may be repeated', repeated)
    .option('--subject-token-file <file>', 'the attestation; - is standard input')
    .option('--subject-token-env <name>', 'instead: a variable that holds it')
    .option('--subject-token-type <type>', 'jwt, id_token, access_token or a URN', 'jwt')
    .option('--aws', 'instead: a GetCallerIdentity request signed with the AWS credentials at hand')
    .option('--aws-web-identity', 'instead: a token of sts:GetWebIdentityToken for this broker')
    .option('--aws-region <region>', 'whose STS vouches (AWS_REGION)')
    .option('--github-actions', 'instead: an ID token of this job for this broker')
    .option('--actor-token-file <file>', "the agent's own attestation, for somebody else's subject")
    .option('--actor-token-type <type>', 'as for the subject', 'jwt')
    .option('--purpose <text>', 'the declared intent, as plain text')
    .option('--intent <file>', 'the declared intent as an agent_intent, JSON or YAML')
    .option('--scope <scope>', 'effect or effect:object; may be repeated', repeated)
    .option('--auth-method <name>', 'use this Auth Method')
}

export function execCommand(program: Command, io: CliIo, end: (exitCode: number) => void): void {
  requesting(
    brokerCommand(program, 'exec', 'run a command with a session or credential in its environment'),
  )
    .argument('<command...>', 'after --: what to run')
    .addOption(
      new Option('--delivery <delivery>', 'SALLYPORT_* or AWS_* variables')
        .choices([...DELIVERIES])
        .default('session'),
    )
    .addHelpText(
      'after',
      `
The command gets SALLYPORT_HANDLE, SALLYPORT_TARGET_<NAME> and, with one target, SALLYPORT_BASE_URL; with
--delivery credential the AWS_* variables. The session is revoked when the command ends.
${examples(
  `sallyport exec --audience crm --subject-token-file token.jwt -- sh -c 'curl -H "Authorization: Bearer $SALLYPORT_HANDLE" $SALLYPORT_BASE_URL/v1/customers/42'`,
  'sallyport exec --audience reports-s3 --subject-token-file token.jwt --delivery credential -- aws s3 ls s3://reports',
)}`,
    )
    .action(async (command, options) => end(await exec(command, options, io)))
}
