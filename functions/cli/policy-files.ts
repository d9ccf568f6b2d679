// Policy documents for `apply`: several YAML or JSON files as one document, and the way back from a
// pointer in it to a file and a line.
import { LineCounter, parseDocument } from 'yaml'
import type { JsonValue } from '../core/identity.ts'
import { parsePolicyYaml } from '../policy/yaml.ts'
import { membersOf } from './broker-client.ts'

const KINDS = ['auth_methods', 'targets', 'bindings', 'intent_policies'] as const

export type PolicyFile = { readonly name: string; readonly text: string }

type FileMistake = { readonly file: string; readonly line: number; readonly message: string }

export type MergedPolicy = {
  readonly document: JsonValue
  /** `FILE:LINE` of a JSON pointer into the document. */
  readonly locate: (path: string) => string
  readonly mistakes: readonly FileMistake[]
}

type Place = { readonly file: number; readonly path: readonly (string | number)[] }

export function mergePolicyFiles(files: readonly PolicyFile[]): MergedPolicy {
  const mistakes: FileMistake[] = []
  const merged: Record<string, JsonValue[] | JsonValue> = {}
  const places = new Map<string, Place[]>()
  const locators = files.map(({ name, text }) => lineLocator(name, text))
  for (const [file, { name, text }] of files.entries()) {
    const parsed = parsePolicyYaml(text)
    if (!parsed.ok) {
      for (const { message } of parsed.failure) mistakes.push(yamlMistake(name, message))
      continue
    }
    for (const [kind, value] of Object.entries(membersOf(parsed.value ?? {}))) {
      const list: readonly JsonValue[] | null = Array.isArray(value) ? value : null
      const before = merged[kind]
      if (list === null || !isKind(kind)) {
        // Not a list of policy objects: the broker says what is wrong with it.
        merged[kind] = value as JsonValue
        continue
      }
      merged[kind] = [...(Array.isArray(before) ? before : []), ...list]
      const known = places.get(kind) ?? []
      places.set(kind, [...known, ...list.map((_, i) => ({ file, path: [kind, i] }))])
    }
  }
  return {
    document: merged,
    mistakes,
    locate(path) {
      const [kind = '', index = '', ...rest] = segmentsOf(path)
      const place = places.get(kind)?.[Number(index)]
      const [file, inFile] = place ? [place.file, [...place.path, ...rest]] : [0, segmentsOf(path)]
      return locators[file]?.(inFile) ?? path
    },
  }
}

function isKind(kind: string): boolean {
  return KINDS.some((known) => known === kind)
}

function yamlMistake(file: string, message: string): FileMistake {
  const [, line, text] = /^line (\d+): (.*)$/s.exec(message) ?? []
  return { file, line: Number(line ?? 1), message: text ?? message }
}

/** The line of the node at a path, or of the nearest node above it. */
function lineLocator(name: string, text: string) {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, logLevel: 'silent' })
  return (path: readonly (string | number)[]): string => {
    for (let depth = path.length; depth > 0; depth--) {
      const node = document.getIn(path.slice(0, depth).map(asKey), true)
      const start = rangeStart(node)
      if (start !== null) return `${name}:${counter.linePos(start).line}`
    }
    return `${name}:1`
  }
}

/** Lists are indexed by number in a YAML document. */
function asKey(segment: string | number): string | number {
  return typeof segment === 'string' && /^\d+$/.test(segment) ? Number(segment) : segment
}

function rangeStart(node: unknown): number | null {
  if (typeof node !== 'object' || node === null || !('range' in node)) return null
  return Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : null
}

function segmentsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}
