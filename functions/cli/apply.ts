// `sallyport apply`: plans a policy document, shows what would change, and applies exactly what was
// shown: the plan's revision goes back as If-Match.
import { createBrokerClient, membersOf } from './broker-client.ts'
import { CliError, type CliIo, EXIT, usage } from './io.ts'
import { type MergedPolicy, mergePolicyFiles } from './policy-files.ts'

export type ApplyOptions = {
  readonly server?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  /** False keeps what the document does not name. */
  readonly prune: boolean
  readonly json?: boolean
}

const SIGNS = { create: '+', update: '~', delete: '-' } as const

export async function apply(
  files: readonly string[],
  options: ApplyOptions,
  io: CliIo,
): Promise<void> {
  const merged = mergePolicyFiles(
    await Promise.all(files.map(async (name) => ({ name, text: await io.readText(name) }))),
  )
  if (merged.mistakes.length > 0) {
    const lines = merged.mistakes.map(({ file, line, message }) => `${file}:${line}: ${message}`)
    throw new CliError(EXIT.usage, lines.join('\n'), { errors: merged.mistakes })
  }
  const client = createBrokerClient(io, options.server)
  const query = options.prune ? '' : '?prune=false'
  const send = (step: string, headers: Readonly<Record<string, string>> = {}) =>
    client
      .admin('POST', `/policy/${step}${query}`, merged.document, headers)
      .catch((error: unknown) => Promise.reject(located(error, merged)))

  const plan = await send('plan')
  const changes = changesOf(plan.body)
  if (!options.json) printPlan(changes, plan.body, io)
  if (options.dryRun || changes.length === 0) {
    if (options.json) io.out(JSON.stringify(plan.body))
    return
  }
  if (!options.yes) {
    const answer = options.json ? null : await io.confirm('Apply these changes?')
    if (answer === null) throw usage('nobody to ask: pass --yes to apply, or --dry-run to look')
    if (!answer) throw new CliError(EXIT.refused, 'nothing was applied')
  }
  const etag = plan.headers.get('etag')
  const applied = await send('apply', etag === null ? {} : { 'if-match': etag })
  if (options.json) io.out(JSON.stringify(applied.body))
  else io.out(`applied: policy revision ${String(membersOf(applied.body)['policy_revision'])}`)
}

function changesOf(plan: unknown): string[] {
  const members = membersOf(plan)
  return Object.entries(SIGNS).flatMap(([operation, sign]) =>
    Object.entries(membersOf(members[operation])).flatMap(([kind, names]) =>
      Array.isArray(names) ? names.map((name) => `  ${sign} ${kind}/${String(name)}`) : [],
    ),
  )
}

function printPlan(changes: readonly string[], plan: unknown, io: CliIo): void {
  io.out(changes.length === 0 ? 'nothing to change' : changes.join('\n'))
  const { warnings } = membersOf(plan)
  for (const warning of Array.isArray(warnings) ? warnings : []) {
    const { path, message } = membersOf(warning)
    io.err(`warning: ${String(path)}: ${String(message)}`)
  }
}

/** The broker's mistakes, each with the file and line that it is about. */
function located(error: unknown, merged: MergedPolicy): unknown {
  if (!(error instanceof CliError)) return error
  const { errors } = membersOf(error.body)
  if (!Array.isArray(errors)) return error
  const found = errors.map((mistake) => {
    const { path, code, message } = membersOf(mistake)
    return { at: merged.locate(String(path)), path, code, message }
  })
  const lines = found.map(({ at, path, message }) => `${at}: ${String(path)}: ${String(message)}`)
  const body = { ...membersOf(error.body), errors: found }
  return new CliError(error.exitCode, [`${lines.length} mistake(s)`, ...lines].join('\n'), body)
}
