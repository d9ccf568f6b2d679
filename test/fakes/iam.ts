// IAM as far as a session policy needs it: which statements of a document match a request. Written apart
// from functions/, so that the two can disagree.

export type IamRequest = {
  /** `service:Name`. */
  readonly action: string
  /** `*` of an action that knows no resources. */
  readonly resource: string
  /** RFC 3339. */
  readonly time?: string
}

type IamStatement = {
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

export function iamAllows(document: string, request: IamRequest): boolean {
  const matching = statementsOf(document).filter((statement) => applies(statement, request))
  return (
    matching.some(({ Effect }) => Effect === 'Allow') &&
    !matching.some(({ Effect }) => Effect === 'Deny')
  )
}

let lastRead: { readonly document: string; readonly statements: readonly IamStatement[] } | null =
  null

function statementsOf(document: string): readonly IamStatement[] {
  if (lastRead?.document === document) return lastRead.statements
  // Parsed as AWS would; a document that is none fails the test that holds it.
  const { Version, Statement } = JSON.parse(document) as {
    readonly Version: string
    readonly Statement: readonly IamStatement[]
  }
  if (Version !== '2012-10-17') throw new Error('escapes need the version 2012-10-17')
  lastRead = { document, statements: Statement }
  return Statement
}

function applies(statement: IamStatement, { action, resource, time }: IamRequest): boolean {
  const { Action, Resource, Condition = {} } = statement
  return (
    [Action].flat().some((pattern) => globMatches(pattern.toLowerCase(), action.toLowerCase())) &&
    [Resource].flat().some((pattern) => globMatches(pattern, resource)) &&
    Object.entries(Condition).every(([operator, keys]) => holds(operator, keys, time))
  )
}

function holds(operator: string, keys: Readonly<Record<string, string>>, time?: string): boolean {
  const wanted = keys['aws:CurrentTime']
  if (Object.keys(keys).length !== 1 || wanted === undefined || time === undefined) {
    throw new Error('a condition that is not understood')
  }
  const [now, then] = [Date.parse(time), Date.parse(wanted)]
  if (operator === 'DateLessThan') return now < then
  if (operator === 'DateGreaterThanEquals') return now >= then
  throw new Error(`an operator that is not understood: ${operator}`)
}

const known = new Map<string, RegExp>()

/** `*` any characters, `?` one, `${*}` `${?}` `${$}` themselves. */
export function globMatches(pattern: string, text: string): boolean {
  const before = known.get(pattern)
  if (before !== undefined) return before.test(text)
  const source = pattern.replace(/\$\{([*?$])\}|[^]/gu, (token, escaped: string | undefined) => {
    if (escaped !== undefined) return `\\${escaped}`
    if (token === '*') return '.*'
    return token === '?' ? '.' : token.replace(/[$()*+.?[\\\]^{|}/]/g, '\\$&')
  })
  const made = new RegExp(`^${source}$`, 'su')
  known.set(pattern, made)
  return made.test(text)
}
