// What AWS's actions do and to which resources: read from the table that scripts/generate-aws-actions.ts
// makes. It is a part of its own, loaded when the first policy is compiled; services are unpacked
// one by one as they are asked for.
import type { Effect } from '../core/policy.ts'
import { type ArnFormat, arnFormats } from './arn-format.ts'

export type AwsAction = {
  readonly name: string
  /** All of them must be granted. */
  readonly effects: readonly Effect[]
  /** Empty: it cannot be limited to a resource. */
  readonly formats: readonly ArnFormat[]
}

export type AwsService = { readonly name: string; readonly actions: readonly AwsAction[] }

export type AwsActions = {
  readonly names: readonly string[]
  /** Null: not in the table. */
  service(name: string): AwsService | null
}

let loaded: Promise<AwsActions> | null = null

/** Once; a load that failed is tried again. */
export async function loadAwsActions(): Promise<AwsActions> {
  loaded ??= load()
  try {
    return await loaded
  } catch (cause) {
    loaded = null
    throw cause
  }
}

async function load(): Promise<AwsActions> {
  const [{ AWS_TABLE }, { brotliDecompressSync }, { Buffer }] = await Promise.all([
    import('./aws-table.gen.ts'),
    import('node:zlib'),
    import('node:buffer'),
  ])
  return awsActionsOf(brotliDecompressSync(Buffer.from(AWS_TABLE, 'base64')).toString())
}

const LETTERS: Readonly<Record<string, Effect>> = {
  r: 'read',
  w: 'write',
  d: 'delete',
  s: 'send',
  x: 'execute',
  a: 'admin',
}

/**
 * Sections of lines: services, verbs, and then a line per service of nouns, of the verbs of each noun, of
 * the ARN formats of each of those actions, of the formats themselves, of effects unlike the verb's.
 */
export function awsActionsOf(table: string): AwsActions {
  const [names = [], verbs = [], ...perService] = table.split('\f').map((s) => s.split('\n'))
  const unpacked = new Map<string, AwsService>()
  return {
    names,
    service(name) {
      const known = unpacked.get(name)
      if (known !== undefined) return known
      const at = names.indexOf(name)
      if (at === -1) return null
      const service = {
        name,
        actions: unpack(
          name,
          verbs,
          perService.map((lines) => lines[at] ?? ''),
        ),
      }
      unpacked.set(name, service)
      return service
    },
  }
}

function unpack(service: string, verbs: readonly string[], lines: readonly string[]): AwsAction[] {
  const [nounLine = '', verbLine = '', arnLine = '', formatLine = '', exceptionLine = ''] = lines
  const formats = formatLine === '' ? [] : arnFormats(formatLine.split(' ').map(longOf(service)))
  const exceptions = exceptionsOf(exceptionLine)
  const verbsOfNoun = verbLine.split(' ')
  const arnsOfNoun = arnLine.split(',')
  return nounsOf(nounLine)
    .flatMap((noun, n) => {
      const arns = (arnsOfNoun[n] ?? '').split('|')
      return verbIndexes(verbsOfNoun[n] ?? '').map((index, i) => {
        const [verb = '', effects = ''] = (verbs[index] ?? '').split(':')
        return { name: nameOf(verb, noun), effects, arns: arns.length === 1 ? arns[0] : arns[i] }
      })
    })
    .map(({ name, effects, arns = '' }, i) => ({
      name,
      effects: [...(exceptions.get(i) ?? effects)].flatMap((letter) => LETTERS[letter] ?? []),
      formats: [...arns].flatMap((character) => formats[formatIndex(character)] ?? []),
    }))
}

/** `!` before a noun that shares no word with the one before it, `"` one word, and so on. */
function nounsOf(line: string): readonly string[] {
  let before: readonly string[] = []
  return [...line.matchAll(/([!-*])([^!-*]*)/g)].map(([, mark = '!', rest = '']) => {
    const shared = before.slice(0, mark.charCodeAt(0) - 0x21)
    before = [...shared, ...awsWords(rest)]
    return before.join('')
  })
}

/** The words of an action's name: `PartiQLDelete` -> Parti, QL, Delete. */
export function awsWords(name: string): readonly string[] {
  return name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9]+/g) ?? []
}

/** One character for the most frequent verbs, two that begin with one of `y` to `~` for the others. */
function verbIndexes(codes: string): readonly number[] {
  return [...codes.matchAll(/[!-x]|[y-~]./g)].map(([code]) => {
    const first = code.charCodeAt(0)
    return code.length === 1 ? first - 0x21 : 88 + (first - 0x79) * 90 + code.charCodeAt(1) - 0x21
  })
}

/** `List+s` of `Bucket` is `ListBuckets`. */
function nameOf(verb: string, noun: string): string {
  const [bare = '', plural = ''] = verb.split('+')
  return bare + (plural === 'ies' ? noun.slice(0, -1) : noun) + plural
}

function formatIndex(character: string): number {
  const code = character.charCodeAt(0)
  return (code > 0x7c ? code - 1 : code) - 0x3e
}

function longOf(service: string): (format: string) => string {
  return (format) => (format.startsWith('arn:') ? format : `arn:*:${service}:*:*:${format}`)
}

/** `3a12wd`: the fourth action is `a`, the sixteenth `w` and `d`. */
function exceptionsOf(line: string): ReadonlyMap<number, string> {
  let at = 0
  return new Map(
    [...line.matchAll(/(\d+)([a-z]+)/g)].map(([, gap = '', letters = '']) => {
      at += Number(gap)
      return [at, letters]
    }),
  )
}
