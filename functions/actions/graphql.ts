// What a GraphQL request does, read from its document: the HTTP method says nothing of it. A
// request whose document is not in it, or that a server might read in two ways, is refused.
import { Kind, OperationTypeNode, parse } from 'graphql/language'
import type { DocumentNode, OperationDefinitionNode } from 'graphql/language'
import { isJsonObject, parseStrictJson } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Effect } from '../core/policy.ts'

export const MAX_GRAPHQL_BYTES = 262_144
const MAX_BATCH = 20
/** The introspection query has about 500. The parser recurses, so this bounds its depth as well. */
const MAX_TOKENS = 10_000

export type GraphqlReading =
  | {
      readonly ok: true
      readonly effects: readonly Effect[]
      /** Kinds of the operations, sorted, for the record. */
      readonly operations: readonly string[]
      /** The documents, for an evaluator. Variables are not among it. */
      readonly text: string
    }
  | { readonly ok: false; readonly reason: string }

/** A subscription is a standing read whose end nobody has judged. */
const EFFECTS: { readonly [type in OperationTypeNode]: Effect } = {
  [OperationTypeNode.QUERY]: 'read',
  [OperationTypeNode.MUTATION]: 'write',
  [OperationTypeNode.SUBSCRIPTION]: 'admin',
}

/**
 * Members of a request (GraphQL over HTTP); any other may name a stored document (`id`, `hash`).
 */
const MEMBERS: ReadonlySet<string> = new Set(['query', 'operationName', 'variables', 'extensions'])

/** Reads the body of a POST. `contentType` without parameters, lower-case. */
export function readGraphqlBody(contentType: string, body: Uint8Array): GraphqlReading {
  const text = decodeUtf8(body)
  if (text === null) return refuse('graphql_not_utf8')
  if (contentType === 'application/graphql') return readRequests([{ query: text }])
  if (contentType !== 'application/json') return refuse('graphql_content_type')
  const parsed = parseStrictJson(text, { maxDepth: 64 })
  if (!parsed.ok) return refuse('graphql_malformed_json')
  const { value } = parsed
  return Array.isArray(value) ? readRequests(value as readonly JsonValue[]) : readRequests([value])
}

/** Reads the query of a GET. A page without any parameter is a read like any other. */
export function readGraphqlQuery(query: string): GraphqlReading {
  if (query === '') return { ok: true, effects: ['read'], operations: [], text: '' }
  const request: Record<string, JsonValue> = {}
  for (const [name, value] of new URLSearchParams(query)) {
    if (Object.hasOwn(request, name)) return refuse('graphql_duplicate_parameter')
    // JSON parameters are told apart by being there at all; their content is the server's to read.
    if (name === 'extensions') return refuse('graphql_extensions')
    request[name] = value
  }
  return readRequests([request])
}

/**
 * Parameters of the URL that servers let override the body of a POST, or take a stored document by.
 */
const URL_PARAMETERS: ReadonlySet<string> = new Set([
  'query',
  'operationname',
  'variables',
  'extensions',
  'id',
  'queryid',
  'documentid',
  'doc_id',
  'hash',
  'sha256hash',
])

/** Whether a POST carries such a parameter in its URL as well. */
export function hasGraphqlParameters(names: readonly string[]): boolean {
  return names.some((name) => URL_PARAMETERS.has(name.toLowerCase()))
}

function refuse(reason: string): GraphqlReading {
  return { ok: false, reason }
}

function readRequests(requests: readonly JsonValue[]): GraphqlReading {
  if (requests.length === 0 || requests.length > MAX_BATCH) return refuse('graphql_batch_size')
  const effects = new Set<Effect>()
  const operations = new Set<string>()
  const texts: string[] = []
  for (const request of requests) {
    if (!isJsonObject(request)) return refuse('graphql_not_an_object')
    const found = operationsOf(request)
    if (typeof found === 'string') return refuse(found)
    for (const { operation } of found) {
      effects.add(EFFECTS[operation])
      operations.add(operation)
    }
    texts.push(String(request['query']))
  }
  return {
    ok: true,
    effects: [...effects],
    operations: [...operations].sort(),
    text: texts.join('\n'),
  }
}

/**
 * Every operation of the document, not only the named one: what a server runs then never exceeds
 * what was judged. A string is the reason of a refusal.
 */
function operationsOf(request: JsonObject): readonly OperationDefinitionNode[] | string {
  if (Object.keys(request).some((name) => !MEMBERS.has(name))) return 'graphql_unknown_member'
  const { query, operationName, extensions } = request
  if (isJsonObject(extensions)) {
    if (Object.hasOwn(extensions, 'persistedQuery')) return 'graphql_persisted_query'
  } else if (extensions !== undefined && extensions !== null) return 'graphql_extensions'
  if (typeof query !== 'string') return 'graphql_without_document'
  const document = parseDocument(query)
  if (document === null) return 'graphql_unparsable'
  const operations: OperationDefinitionNode[] = []
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition)
    else if (definition.kind !== Kind.FRAGMENT_DEFINITION) return 'graphql_not_executable'
  }
  return operationMistake(operations, operationName) ?? operations
}

function operationMistake(
  operations: readonly OperationDefinitionNode[],
  operationName: JsonValue | undefined,
): string | null {
  if (operations.length === 0) return 'graphql_without_operation'
  const names = operations.map(({ name }) => name?.value ?? '')
  if (new Set(names).size !== names.length) return 'graphql_ambiguous_operation'
  const isUnnamed = operationName === undefined || operationName === null || operationName === ''
  if (isUnnamed) return operations.length === 1 ? null : 'graphql_ambiguous_operation'
  if (typeof operationName !== 'string') return 'graphql_operation_name'
  return names.includes(operationName) ? null : 'graphql_operation_name'
}

function parseDocument(text: string): DocumentNode | null {
  try {
    return parse(text, { noLocation: true, maxTokens: MAX_TOKENS })
  } catch {
    // A syntax error, too many tokens, or nesting beyond the stack: not understood in each case.
    return null
  }
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}
