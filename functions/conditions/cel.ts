// CEL conditions of bindings. A condition holds when it evaluates to exactly `true`: the engine answers
// an error with an object, which is truthy, so anything else is `false`. What facts beyond the caps amount
// to is the caller's to say.
//
// Variables: `claims` (of who acts), `subject` (of the user acted for, empty when there is none), `request`,
// `target` and `now`. `now` is whole seconds since the epoch, an int like
// every whole number in the facts, so that `now - claims.iat < 300` works.
import { celEnv, isCelError, parse, plan, type CelInput } from '@bufbuild/cel'
import type { Conditions } from '../core/snapshot.ts'
import { inspectExpression, MAX_EXPRESSION_LENGTH, MAX_LIST_LENGTH } from './expression-rules.ts'

type Facts = Parameters<Conditions['holds']>[1]
type Evaluate = (bindings: Record<string, CelInput>) => unknown
type Condition = { readonly mistake: null; readonly run: Evaluate; readonly maxText: number }
type Compiled = { readonly mistake: string } | Condition

/** Parsing costs a hundred evaluations, so compiled expressions are kept; the oldest goes first. */
const MAX_COMPILED = 1000

const MAX_CLAIM_TEXT = 8192
/** The engine takes about a microsecond a character: a claim is not searched for longer than it is read. */
const MAX_SEARCHED_TEXT = 2048
/** `prompt` of a declared intent may have 32,000 characters. */
const MAX_REQUEST_TEXT = 32_768
const MAX_FACT_DEPTH = 16
const MAX_FACT_VALUES = 8192

let environment: ReturnType<typeof celEnv> | undefined

/** Made when the first condition is: a start should not wait for it. */
function celEnvironment(): ReturnType<typeof celEnv> {
  environment ??= celEnv()
  return environment
}

export function celConditions(): Conditions {
  const compiled = new Map<string, Compiled>()
  const compiledOf = (expression: string): Compiled => {
    const known = compiled.get(expression)
    if (known !== undefined) return known
    const fresh = compile(expression)
    if (expression.length > MAX_EXPRESSION_LENGTH) return fresh
    const [oldest] = compiled.keys()
    if (compiled.size >= MAX_COMPILED && oldest !== undefined) compiled.delete(oldest)
    compiled.set(expression, fresh)
    return fresh
  }
  return {
    load: () => Promise.resolve(),
    holds(expression, facts, whenBeyondCaps = false) {
      const condition = compiledOf(expression)
      if (condition.mistake !== null) return false
      const variables = variablesOf(condition, facts)
      return variables === null ? whenBeyondCaps : condition.run(variables) === true
    },
    mistake: (expression) => compiledOf(expression).mistake,
  }
}

function compile(expression: string): Compiled {
  if (expression.length > MAX_EXPRESSION_LENGTH) {
    return { mistake: `is longer than ${MAX_EXPRESSION_LENGTH} characters` }
  }
  try {
    const parsed = parse(expression)
    const inspected = inspectExpression(parsed.expr)
    if (inspected.mistake !== null) return inspected
    const unusable = inspected.patterns.find((pattern) => !isUsablePattern(pattern))
    if (unusable !== undefined) return { mistake: `pattern \`${unusable}\` does not compile` }
    // plan() answers with a function of the variables; its own type leaves them out.
    const run = plan(celEnvironment(), parsed) as Evaluate
    const maxText = inspected.patterns.length > 0 ? MAX_SEARCHED_TEXT : MAX_CLAIM_TEXT
    return { mistake: null, run, maxText }
  } catch {
    // The parser throws on syntax, and the stack does on what is nested without end.
    return { mistake: 'is not a CEL expression' }
  }
}

let tryPattern: Evaluate | undefined

function isUsablePattern(pattern: string): boolean {
  // As above: a function of the variables.
  tryPattern ??= plan(celEnvironment(), parse('"".matches(pattern)')) as Evaluate
  return !isCelError(tryPattern({ pattern }))
}

/** Null for facts beyond the caps. */
function variablesOf({ maxText }: Condition, facts: Facts): Record<string, CelInput> | null {
  const claims = celValueOf(facts.claims, maxText)
  const subject = celValueOf(facts.subject, maxText)
  const request = celValueOf(facts.request, MAX_REQUEST_TEXT)
  const target = celValueOf(facts.target, maxText)
  if (claims === undefined || subject === undefined) return null
  if (request === undefined || target === undefined) return null
  if (!Number.isSafeInteger(facts.now)) return null
  // Without a prototype, so that no name resolves to anything but these five.
  const bindings: Record<string, CelInput> = Object.create(null) as Record<string, CelInput>
  return Object.assign(bindings, { claims, subject, request, target, now: BigInt(facts.now) })
}

/** JSON as CEL values, or undefined when it is not JSON or goes beyond the caps. */
function celValueOf(value: unknown, maxText: number): CelInput | undefined {
  const budget = { valuesLeft: MAX_FACT_VALUES, maxText }
  return convert(value, 0, budget)
}

type Budget = { valuesLeft: number; readonly maxText: number }

function convert(value: unknown, depth: number, budget: Budget): CelInput | undefined {
  budget.valuesLeft -= 1
  if (budget.valuesLeft < 0 || depth > MAX_FACT_DEPTH) return undefined
  switch (typeof value) {
    case 'boolean':
      return value
    case 'string':
      return value.length <= budget.maxText ? value : undefined
    case 'number':
      return numberOf(value)
    case 'object':
      if (value === null) return null
      return Array.isArray(value)
        ? convertList(value, depth, budget)
        : convertObject(value, depth, budget)
    default:
      return undefined
  }
}

/** A whole number beyond 2^53 was rounded when it was parsed: it equals nothing any more. */
function numberOf(value: number): CelInput {
  if (Number.isSafeInteger(value)) return BigInt(value)
  return Number.isInteger(value) ? Number.NaN : value
}

function convertList(
  list: readonly unknown[],
  depth: number,
  budget: Budget,
): CelInput | undefined {
  if (list.length > MAX_LIST_LENGTH) return undefined
  const converted: CelInput[] = []
  for (const item of list) {
    const value = convert(item, depth + 1, budget)
    if (value === undefined) return undefined
    converted.push(value)
  }
  return converted
}

/** A Map holds own members and nothing else: `has(claims.toString)` is false (POL-1). */
function convertObject(object: object, depth: number, budget: Budget): CelInput | undefined {
  const entries = Object.entries(object)
  if (entries.length > MAX_LIST_LENGTH) return undefined
  const converted = new Map<string, CelInput>()
  for (const [member, item] of entries) {
    if (item === undefined) continue
    const value = convert(item, depth + 1, budget)
    if (value === undefined) return undefined
    converted.set(member, value)
  }
  return converted
}
