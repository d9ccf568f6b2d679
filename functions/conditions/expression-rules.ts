// Which CEL expressions a condition may be: bounded in size and work before it ever runs, since the
// engine has no limit of its own at run time (POL-3, POL-5). Walks the tree after macro expansion.
import type { parse } from '@bufbuild/cel'
import { patternMistake } from './pattern-rules.ts'

export type Expression = ReturnType<typeof parse>['expr']
type Comprehension = Extract<Expression['exprKind'], { case: 'comprehensionExpr' }>['value']
type Call = Extract<Expression['exprKind'], { case: 'callExpr' }>['value']

export const MAX_EXPRESSION_LENGTH = 4096
export const MAX_LIST_LENGTH = 256
const ROOTS: readonly string[] = ['claims', 'subject', 'request', 'target', 'now']

const MAX_NODES = 1000
const MAX_DEPTH = 64
const MAX_MACROS = 4
/** The accumulator of a macro; no expression can spell it. */
const ACCUMULATOR = '@result'

const OPERATORS: readonly string[] = [
  '_&&_',
  '_||_',
  '!_',
  '_==_',
  '_!=_',
  '_<_',
  '_<=_',
  '_>_',
  '_>=_',
  '@in',
  '_+_',
  '_-_',
  '_*_',
  '_/_',
  '_%_',
  '-_',
  '_?_:_',
  '_[_]',
  '@not_strictly_false',
]
const METHODS: readonly string[] = ['startsWith', 'endsWith', 'contains', 'matches', 'size']
const FUNCTIONS: readonly string[] = ['size', 'int', 'double', 'string', 'timestamp']

type Place = {
  readonly depth: number
  /** Variable of the macro around this place; null outside of one. */
  readonly variable: string | null
}

type Walk = { nodes: number; macros: number; readonly patterns: string[] }

export type Inspected =
  | { readonly mistake: string }
  | { readonly mistake: null; readonly patterns: readonly string[] }

/** What is wrong with the expression; else the regular expressions it holds. */
export function inspectExpression(expression: Expression): Inspected {
  const walk: Walk = { nodes: 0, macros: 0, patterns: [] }
  const mistake = inspect(expression, { depth: 0, variable: null }, walk)
  return mistake === null ? { mistake, patterns: walk.patterns } : { mistake }
}

function inspect(node: Expression | undefined, place: Place, walk: Walk): string | null {
  if (node === undefined) return 'is not an expression'
  walk.nodes += 1
  if (walk.nodes > MAX_NODES) return `has more than ${MAX_NODES} parts`
  if (place.depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH}`
  const inner = { ...place, depth: place.depth + 1 }
  const { exprKind: kind } = node
  switch (kind.case) {
    case 'constExpr':
      return null
    case 'identExpr':
      return nameMistake(kind.value.name, place)
    case 'selectExpr':
      return inspect(kind.value.operand, inner, walk)
    case 'callExpr':
      return callMistake(kind.value, inner, walk)
    case 'listExpr':
      if (kind.value.elements.length > MAX_LIST_LENGTH) return tooLong()
      return first(kind.value.elements, (element) => inspect(element, inner, walk))
    case 'structExpr':
      if (kind.value.messageName !== '') return `\`${kind.value.messageName}\` is not a type here`
      if (kind.value.entries.length > MAX_LIST_LENGTH) return tooLong()
      return first(
        kind.value.entries,
        ({ keyKind, value }) =>
          inspect(keyKind.case === 'mapKey' ? keyKind.value : undefined, inner, walk) ??
          inspect(value, inner, walk),
      )
    case 'comprehensionExpr':
      return macroMistake(kind.value, inner, walk)
    default:
      return 'holds something unknown'
  }
}

function first<T>(items: readonly T[], mistakeOf: (item: T) => string | null): string | null {
  for (const item of items) {
    const mistake = mistakeOf(item)
    if (mistake !== null) return mistake
  }
  return null
}

function tooLong(): string {
  return `holds a list or map of more than ${MAX_LIST_LENGTH} items`
}

function nameMistake(name: string, place: Place): string | null {
  if (ROOTS.includes(name)) return null
  if (place.variable !== null && (name === place.variable || name === ACCUMULATOR)) return null
  return `\`${name}\` is unknown: only ${ROOTS.join(', ')} can be asked about`
}

function callMistake(call: Call, inner: Place, walk: Walk): string | null {
  const { function: name, target, args } = call
  const isKnown =
    target === undefined
      ? OPERATORS.includes(name) || FUNCTIONS.includes(name)
      : METHODS.includes(name)
  if (!isKnown) return `\`${name}\` is not allowed`
  const mistake =
    argumentMistake(call, inner, walk) ??
    (target === undefined ? null : inspect(target, inner, walk))
  return mistake ?? first(args, (argument) => inspect(argument, inner, walk))
}

/** Calls that are allowed with some arguments only. */
function argumentMistake(call: Call, place: Place, walk: Walk): string | null {
  const { function: name, target, args } = call
  if (name === 'matches') return matchesMistake(target, args, { place, walk })
  if (name === 'timestamp' && literalText(args[0]) === null) {
    return '`timestamp` takes a literal text; `now` is seconds: `now < int(timestamp("…"))`'
  }
  if (name === '@in' && !isPlainCollection(args[1])) {
    return '`in` takes a claim or a literal list'
  }
  if (name === '_+_' && place.variable !== null && !isName(args[0], ACCUMULATOR)) {
    return '`+` is not allowed inside a macro'
  }
  return null
}

function matchesMistake(
  target: Expression | undefined,
  args: readonly Expression[],
  { place, walk }: { readonly place: Place; readonly walk: Walk },
): string | null {
  const pattern = args.length === 1 ? literalText(args[0]) : null
  if (pattern === null) return '`matches` takes one literal pattern'
  if (place.variable !== null) return '`matches` is not allowed inside a macro'
  if (!isPath(target) || rootOf(target) === 'request') {
    return '`matches` is allowed on claims and on the target'
  }
  const mistake = patternMistake(pattern)
  if (mistake !== null) return `pattern \`${pattern.slice(0, 80)}\` ${mistake}`
  walk.patterns.push(pattern)
  return null
}

/** At most one level: three nested macros over 200 items are 8 million steps (POL-3). */
function macroMistake(macro: Comprehension, inner: Place, walk: Walk): string | null {
  if (inner.variable !== null) return 'holds a macro inside a macro'
  walk.macros += 1
  if (walk.macros > MAX_MACROS) return `holds more than ${MAX_MACROS} macros`
  if (ROOTS.includes(macro.iterVar) || macro.iterVar2 !== '') {
    return `\`${macro.iterVar}\` cannot be the variable of a macro`
  }
  if (!isPlainCollection(macro.iterRange)) return 'a macro takes a claim or a literal list'
  const body = { ...inner, variable: macro.iterVar }
  return (
    inspect(macro.iterRange, inner, walk) ??
    first([macro.accuInit, macro.loopCondition, macro.loopStep, macro.result], (part) =>
      inspect(part, body, walk),
    )
  )
}

/** What cannot be longer than the caps on literals and facts, whatever the facts are. */
function isPlainCollection(node: Expression | undefined): boolean {
  const kind = node?.exprKind.case
  return kind === 'listExpr' || kind === 'structExpr' || isPath(node)
}

function isPath(node: Expression | undefined): boolean {
  return rootOf(node) !== null
}

/** The name a chain of members and indices begins with. */
function rootOf(node: Expression | undefined): string | null {
  const kind = node?.exprKind
  if (kind?.case === 'identExpr') return kind.value.name
  if (kind?.case === 'selectExpr') return kind.value.testOnly ? null : rootOf(kind.value.operand)
  if (kind?.case === 'callExpr' && kind.value.function === '_[_]') return rootOf(kind.value.args[0])
  return null
}

function isName(node: Expression | undefined, name: string): boolean {
  return node?.exprKind.case === 'identExpr' && node.exprKind.value.name === name
}

function literalText(node: Expression | undefined): string | null {
  if (node?.exprKind.case !== 'constExpr') return null
  const constant = node.exprKind.value.constantKind
  return constant.case === 'stringValue' ? constant.value : null
}
