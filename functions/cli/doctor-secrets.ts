// Secrets that the broker reads elsewhere than in its own vault: the broker is asked to check each object that
// names one, as if it were saved again, and so looks them up with its own eyes and its own rights.
import type { PolicyKind } from '../core/policy.ts'
import { bringsItsOrigins } from '../core/secret-source.ts'
import { secretUses } from '../policy/secret-uses.ts'
import type { PolicyObject } from '../store/contract.ts'
import { type BrokerClient, membersOf } from './broker-client.ts'
import { tried } from './doctor-broker.ts'
import type { Check } from './doctor.ts'
import { CliError } from './io.ts'

type Members = Readonly<Record<string, unknown>>

const KINDS = [
  { kind: 'auth_methods', segment: 'auth-methods', word: 'auth method' },
  { kind: 'targets', segment: 'targets', word: 'target' },
  { kind: 'intent_policies', segment: 'intent-policies', word: 'intent policy' },
] as const

export async function foreignSecretChecks(
  client: BrokerClient,
  policy: Members,
): Promise<readonly Check[]> {
  const checks: Check[] = []
  for (const { kind, segment, word } of KINDS) {
    for (const object of listOf(policy[kind])) {
      const references = foreignReferences(kind, object, client.server)
      if (references.size === 0) continue
      const found = await mistakesOf(client, segment, object)
      const name = `${word} ${String(object['name'])}: secret`
      for (const [path, reference] of references) {
        checks.push({ check: name, ...judged(reference, found, path) })
      }
    }
  }
  return checks
}

/** Pointer to each reference, and the reference. */
function foreignReferences(
  kind: PolicyKind,
  object: Members,
  issuer: string,
): ReadonlyMap<string, string> {
  // What the broker answers as its policy has this form; only members that are there are looked at.
  const uses = secretUses(kind, object as unknown as PolicyObject, issuer)
  return new Map(
    uses
      .filter(({ reference }) => !bringsItsOrigins(reference))
      .map(({ path, reference }) => [path, reference]),
  )
}

type Found =
  | { readonly mistakes: readonly Members[]; readonly warnings: readonly Members[] }
  | { readonly failed: string }

async function mistakesOf(client: BrokerClient, segment: string, object: Members): Promise<Found> {
  const answer = await tried(() => client.admin('POST', `/${segment}/validate`, object))
  if (!(answer instanceof CliError)) {
    return { mistakes: [], warnings: listOf(membersOf(answer.body)['warnings']) }
  }
  const { errors } = membersOf(answer.body)
  if (!Array.isArray(errors)) return { failed: answer.message.split('\n', 1)[0] ?? '' }
  return { mistakes: errors.map(membersOf), warnings: [] }
}

function judged(reference: string, found: Found, path: string): Omit<Check, 'check'> {
  if ('failed' in found) {
    const fix = 'the token needs the role viewer'
    return { status: 'WARN', detail: `${reference} was not checked: ${found.failed}`, fix }
  }
  const at = (one: Members) => one['path'] === path
  const mistake = found.mistakes.find(at)
  if (mistake !== undefined) {
    const fix = 'mend the reference, or let the broker read it: docs/secrets.md'
    return { status: 'FAIL', detail: String(mistake['message']), fix }
  }
  if (found.mistakes.length > 0) {
    const detail = `${reference} was not checked: ${String(found.mistakes[0]?.['message'])}`
    return { status: 'WARN', detail, fix: 'mend the object first' }
  }
  if (found.warnings.some((one) => at(one) && one['code'] === 'secret_unread')) {
    const fix = 'use a token with the role admin; if it has it, AWS does not answer the broker'
    return { status: 'WARN', detail: `${reference} was not looked up`, fix }
  }
  return { status: 'OK', detail: `the broker can read ${reference}` }
}

function listOf(list: unknown): readonly Members[] {
  return (Array.isArray(list) ? list : []).map(membersOf)
}
