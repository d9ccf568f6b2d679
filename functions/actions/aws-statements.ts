// Statements of a session policy as JSON, and how they are made to fit. Exact names where they fit;
// else prefixes (`Get*`), and those only where every action that they match is allowed there: so a
// prefix allows nothing today that the names did not, but it will match what AWS adds later.
import type { Effect } from '../core/policy.ts'
import type { Seconds } from '../core/ports.ts'
import { type AwsAction, awsWords } from './aws-table.ts'

export type Statement = {
  readonly service: string
  /** As they were granted. */
  readonly objects: readonly string[]
  readonly effects: readonly Effect[]
  /** Names, sorted. */
  readonly actions: readonly string[]
  /** Of the service. */
  readonly all: readonly AwsAction[]
  /** What may be allowed on every one of `resources`, whether AWS has such a case or not. */
  readonly allowed: readonly AwsAction[]
  readonly resources: readonly string[]
}

/** The shortest of its forms; AWS counts characters, and JSON escapes keep them to ASCII. */
export function renderPolicy(statements: readonly Statement[], endsAt: Seconds | null): string {
  return render(statements, endsAt)
}

/** The document within the limit; null where no prefixes make it fit. */
export function shortenedToFit(
  statements: readonly Statement[],
  endsAt: Seconds | null,
  limit: number,
): string | null {
  let current = statements
  for (;;) {
    const document = render(current, endsAt)
    if (document.length <= limit) return document
    const step = bestPrefix(current, document.length - limit)
    if (step === null) return null
    current = current.map((statement) => (statement === step.of ? applied(step) : statement))
  }
}

type Prefix = {
  readonly of: Statement
  readonly prefix: string
  /** Characters that the document has less. */
  readonly saved: number
}

/** The most specific prefix that is enough by itself, else the one that saves most. */
function bestPrefix(statements: readonly Statement[], excess: number): Prefix | null {
  const candidates = statements.flatMap(prefixesOf)
  const enough = candidates.filter(({ saved }) => saved >= excess)
  const [best] =
    enough.length > 0
      ? enough.sort((a, b) => b.prefix.length - a.prefix.length || compared(a, b))
      : candidates.sort((a, b) => b.saved - a.saved || compared(a, b))
  return best ?? null
}

function compared(a: Prefix, b: Prefix): number {
  return `${a.of.service}:${a.prefix}` < `${b.of.service}:${b.prefix}` ? -1 : 1
}

/** Prefixes that end with a word and match nothing but what is allowed, where they save something. */
function prefixesOf(statement: Statement): readonly Prefix[] {
  const { service, actions, all, allowed } = statement
  const matched = new Map<string, string[]>()
  for (const action of actions) {
    for (const prefix of prefixes(action)) {
      const own = matched.get(prefix) ?? []
      own.push(action)
      matched.set(prefix, own)
    }
  }
  // IAM compares names of actions without case.
  const refused = all.filter((a) => !allowed.includes(a)).map(({ name }) => name.toLowerCase())
  return [...matched].flatMap(([prefix, own]) => {
    const entry = (name: string) => service.length + name.length + '":",'.length
    const saved = own.reduce((sum, name) => sum + entry(name), 0) - entry(`${prefix}*`)
    const start = prefix.toLowerCase()
    if (own.length < 2 || saved <= 0 || refused.some((name) => name.startsWith(start))) return []
    return [{ of: statement, prefix, saved }]
  })
}

/** `GetBucketAcl` -> ``, `Get`, `GetBucket`, itself; of `GetBucket*` the first three. */
function prefixes(action: string): readonly string[] {
  const words = awsWords(action.replace(/\*$/, ''))
  return ['', ...words.map((_, i) => words.slice(0, i + 1).join(''))]
}

function applied({ of, prefix }: Prefix): Statement {
  const others = of.actions.filter((action) => !prefixes(action).includes(prefix))
  return { ...of, actions: [...others, `${prefix}*`].sort() }
}

function render(statements: readonly Statement[], endsAt: Seconds | null): string {
  if (endsAt === null) return json(statements.map((statement) => allow(statement)))
  const time = `${new Date(endsAt * 1000).toISOString().slice(0, 19)}Z`
  // AWS puts `aws:CurrentTime` into every request, so a deny by it cannot miss.
  const each = json(statements.map((s) => allow(s, { DateLessThan: { 'aws:CurrentTime': time } })))
  const once = json([
    ...statements.map((statement) => allow(statement)),
    {
      Effect: 'Deny',
      Action: '*',
      Resource: '*',
      Condition: { DateGreaterThanEquals: { 'aws:CurrentTime': time } },
    },
  ])
  return once.length < each.length ? once : each
}

function allow({ service, actions, resources }: Statement, condition?: object): object {
  return {
    Effect: 'Allow',
    Action: oneOrMany(actions.map((action) => `${service}:${action}`)),
    Resource: oneOrMany(resources),
    ...(condition === undefined ? {} : { Condition: condition }),
  }
}

function oneOrMany(values: readonly string[]): string | readonly string[] {
  return values.length === 1 ? (values[0] ?? []) : values
}

function json(statements: readonly object[]): string {
  const text = JSON.stringify({ Version: '2012-10-17', Statement: statements })
  return text.replace(/[\u007f-\uffff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
