// What an exchange leaves in an environment: the variables of the AWS SDKs, or the handle with the base URL of
// each target. For `exchange --format env`, which a shell reads, and for `exec`.
import { awsDocument, awsVariables } from './aws-output.ts'
import { membersOf } from './broker-client.ts'
import { CliError, EXIT } from './io.ts'
import type { Delivery } from './token-request.ts'

export type Variables = Readonly<Record<string, string>>

export function variablesOf(
  answer: Readonly<Record<string, unknown>>,
  delivery: Delivery,
): Variables {
  if (delivery === 'credential') return awsVariables(awsDocument(answer))
  const targets = Object.entries(membersOf(membersOf(answer['session'])['targets']))
  const urls = targets.map(([name, url]) => [targetVariable(name), String(url)])
  const [only, second] = targets
  return {
    SALLYPORT_HANDLE: String(answer['access_token']),
    ...(only === undefined || second !== undefined ? {} : { SALLYPORT_BASE_URL: String(only[1]) }),
    ...Object.fromEntries(urls),
  }
}

/** Of such names two never meet in one variable, and a shell reads nothing else into them. */
function targetVariable(name: string): string {
  if (!/^[a-z0-9-]+$/.test(name)) {
    throw new CliError(EXIT.unavailable, 'the answer names a target as no broker does')
  }
  return `SALLYPORT_TARGET_${name.toUpperCase().replaceAll('-', '_')}`
}

/** What a POSIX shell evaluates to the same variables and to nothing else. */
export function exportLines(variables: Variables): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}`)
    .join('\n')
}
