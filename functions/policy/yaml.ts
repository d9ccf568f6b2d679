// A policy document as YAML 1.2, for the command line and the file that is applied at start. Kept out of
// the Worker bundle: the parser is 30 KiB gz. Reads exactly what JSON could have said: no duplicate
// keys, no tags, no merge keys, no aliases (a few bytes of them expand without bound).
import { parseDocument, visit } from 'yaml'
import type { JsonValue } from '../core/identity.ts'
import type { DocumentError } from '../core/policy.ts'
import type { Result } from '../core/result.ts'
import { fail, ok } from '../core/result.ts'

export function parsePolicyYaml(text: string): Result<JsonValue, DocumentError[]> {
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    uniqueKeys: true,
    stringKeys: true,
    merge: false,
    // With less, a second document is dropped in silence.
    logLevel: 'error',
    prettyErrors: true,
  })
  const errors = [...document.errors, ...document.warnings].map((error) =>
    yamlMistake(`line ${error.linePos?.[0].line ?? 1}: ${firstLine(error.message)}`),
  )
  visit(document, {
    Alias: () => void errors.push(yamlMistake('aliases are not read here')),
    Node(_, node) {
      if (node.tag !== undefined) errors.push(yamlMistake('tags are not read here'))
    },
  })
  if (errors.length > 0) return fail(errors)
  // The core schema with string keys, without tags and aliases, makes JSON values only; unsafe numbers
  // such as .inf are refused when the document is parsed.
  return ok(document.toJS({ maxAliasCount: 0 }) as JsonValue)
}

function yamlMistake(message: string): DocumentError {
  return { path: '', code: 'yaml', message }
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message
}
