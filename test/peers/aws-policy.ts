// A session policy as IAM evaluates it, for as much of the language as tests meet: an explicit deny, an allow
// for action and resource, conditions on the time. Anything else is a fault of the test, and throws.

type Statement = {
  readonly Sid?: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Action?: string | readonly string[]
  readonly Resource?: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

const KNOWN: readonly string[] = ['Sid', 'Effect', 'Action', 'Resource', 'Condition']

export function isAllowed(policy: string, action: string, resource: string): boolean {
  const { Statement: statements } = JSON.parse(policy) as { Statement: Statement | Statement[] }
  const list = Array.isArray(statements) ? statements : [statements]
  const unknown = list.flatMap((one) => Object.keys(one)).find((name) => !KNOWN.includes(name))
  if (unknown !== undefined) throw new Error(`${unknown} is not evaluated here`)
  const applies = list.filter((one) => {
    return (
      listOf(one.Action).some((pattern) => fits(pattern.toLowerCase(), action.toLowerCase())) &&
      listOf(one.Resource).some((pattern) => fits(pattern, resource)) &&
      holds(one.Condition ?? {})
    )
  })
  const hasDeny = applies.some(({ Effect }) => Effect === 'Deny')
  return !hasDeny && applies.some(({ Effect }) => Effect === 'Allow')
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value
}

/** `${*}`, `${?}` and `${$}` are the characters themselves. */
function fits(pattern: string, value: string): boolean {
  const parts = pattern.split(/(\$\{[*?$]\}|[*?])/).map((part) => {
    if (part === '*') return '.*'
    if (part === '?') return '.'
    const literal = /^\$\{([*?$])\}$/.exec(part)?.[1] ?? part
    return literal.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('')}$`, 's').test(value)
}

const COMPARISONS: Readonly<Record<string, (now: number, limit: number) => boolean>> = {
  DateLessThan: (now, limit) => now < limit,
  DateLessThanEquals: (now, limit) => now <= limit,
  DateGreaterThan: (now, limit) => now > limit,
  DateGreaterThanEquals: (now, limit) => now >= limit,
}

function holds(condition: NonNullable<Statement['Condition']>): boolean {
  return Object.entries(condition).every(([operator, keys]) =>
    Object.entries(keys).every(([key, limit]) => {
      const compare = COMPARISONS[operator]
      if (compare === undefined || key !== 'aws:CurrentTime') {
        throw new Error(`${operator} ${key} is not evaluated here`)
      }
      return compare(Date.now(), Date.parse(limit))
    }),
  )
}
