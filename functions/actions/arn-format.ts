// Formats of ARNs as AWS documents them per resource type, and whether a pattern of a grant can mean one of
// them. In a format `*` is a name: at least one character, and no separator where another type goes on
// behind it (`table/*` beside `table/*/index/*`).
import { ANY, arnParts, type ArnToken, arnTokens, ONE } from '../core/arn-pattern.ts'

/** Any character but `except`; `many`: any number of them. */
type NameToken = { readonly except: string; readonly many: boolean }
type FormatToken = string | NameToken

export type ArnFormat = {
  readonly service: string
  readonly parts: readonly (readonly FormatToken[])[]
}

/** All formats of a service at once, for one tells what another's names cannot hold. */
export function arnFormats(texts: readonly string[]): readonly ArnFormat[] {
  const all = texts.map((text) => arnParts(text) ?? [])
  const resources = all.map((parts) => parts.at(-1) ?? '')
  return all.map((parts, i) => {
    const resource = resources[i] ?? ''
    return {
      service: parts[2] ?? '',
      parts: [
        ...parts.slice(0, -1).map((part) => [...part].flatMap((c) => nameOr(c, ':'))),
        [...resource].flatMap((c, at) => nameOr(c, separatorAfter(resource, at, resources))),
      ],
    }
  })
}

function nameOr(character: string, except: string): readonly FormatToken[] {
  if (character !== '*') return [character]
  return [
    { except, many: false },
    { except, many: true },
  ]
}

function separatorAfter(resource: string, at: number, siblings: readonly string[]): string {
  const next = resource[at + 1]
  if (next !== undefined) return next === '/' || next === ':' ? next : ''
  return (
    ['/', ':'].find((mark) => siblings.some((other) => other.startsWith(resource + mark))) ?? ''
  )
}

/** A pattern, read once for all formats that it is held against. */
export type ReadPattern = readonly (readonly ArnToken[])[]

export function readPattern(pattern: string): ReadPattern {
  return (arnParts(pattern) ?? []).map(arnTokens)
}

/** Whether some ARN of this format is matched by the pattern. */
export function isPossible({ parts }: ArnFormat, pattern: ReadPattern): boolean {
  return (
    pattern.length === parts.length && parts.every((part, i) => overlap(part, pattern[i] ?? []))
  )
}

/**
 * Whether some text is both: the positions of the pattern that can be reached, token by token of the
 * format. A format has some fifty of them, and a pattern at most a thousand.
 */
function overlap(format: readonly FormatToken[], pattern: readonly ArnToken[]): boolean {
  let row: readonly number[] = withSkips([0], pattern)
  for (const token of format) {
    const reached = new Set<number>()
    for (const at of row) {
      if (typeof token === 'object' && token.many) passThrough(token, at, { pattern, reached })
      else if (isShared(token, pattern[at])) reached.add(pattern[at] === ANY ? at : at + 1)
    }
    if (reached.size === 0) return false
    row = withSkips(reached, pattern)
  }
  return row.includes(pattern.length)
}

/** A `*` may stand for nothing. */
function withSkips(reached: Iterable<number>, pattern: readonly ArnToken[]): readonly number[] {
  const all = new Set(reached)
  for (const at of all) if (pattern[at] === ANY) all.add(at + 1)
  return [...all]
}

/** From here as far as a name goes, wherever it ends. */
function passThrough(
  token: NameToken,
  from: number,
  { pattern, reached }: { readonly pattern: readonly ArnToken[]; readonly reached: Set<number> },
): void {
  for (let at = from; !reached.has(at); at += 1) {
    reached.add(at)
    if (!isShared(token, pattern[at])) return
  }
}

function isShared(token: FormatToken, wanted: ArnToken | undefined): boolean {
  if (wanted === undefined) return false
  if (wanted === ANY || wanted === ONE) return true
  return typeof token === 'string' ? token === wanted : token.except !== wanted
}
