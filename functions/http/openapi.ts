// The OpenAPI 3.1 document and the JSON Schemas of the policy objects, made from the routes and the zod
// schemas. Never part of a bundle: scripts/generate-openapi.ts writes what this makes to schema/.
import { POLICY_KINDS, OBJECT_SCHEMAS } from '../policy/schema.ts'
import { ADMIN_OPERATIONS, KIND_SCHEMAS } from './openapi/admin.ts'
import { BROKER_OPERATIONS } from './openapi/broker.ts'
import { inputSchema } from './openapi/input-schema.ts'
import type { Answered, Operation, Refusal, Schema } from './openapi/operation.ts'
import { listOf, object, ref, REFUSALS, STRING } from './openapi/operation.ts'
import { ANSWER_SCHEMAS } from './openapi/schemas.ts'

export const OPERATIONS: readonly Operation[] = [...BROKER_OPERATIONS, ...ADMIN_OPERATIONS]

export function openApiDocument(version: string): Schema {
  return {
    openapi: '3.1.1',
    info: {
      title: 'Sallyport',
      version,
      description: 'A serverless credential broker for AI agents.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(OPERATIONS.map(({ tag }) => tag))].map((name) => ({ name })),
    paths: paths(),
    components: {
      schemas: { ...policySchemas(), ...ANSWER_SCHEMAS },
      responses: refusalResponses(),
      securitySchemes: {
        handle: { type: 'http', scheme: 'bearer', description: 'A session handle for the target.' },
        boundHandle: {
          type: 'http',
          scheme: 'DPoP',
          description: 'A handle that is bound to a key, with a header DPoP (RFC 9449 §7).',
        },
        admin: {
          type: 'http',
          scheme: 'bearer',
          description: 'A session handle for the target sallyport-admin, or SALLYPORT_ADMIN_TOKEN.',
        },
      },
    },
  }
}

/** By file name: what a policy object, and a whole document, may say. */
export function policyJsonSchemas(): Readonly<Record<string, Schema>> {
  const draft = { $schema: 'https://json-schema.org/draft/2020-12/schema' }
  const objects = Object.fromEntries(
    POLICY_KINDS.map((kind) => [kind, inputSchema(OBJECT_SCHEMAS[kind])]),
  )
  return {
    ...Object.fromEntries(
      POLICY_KINDS.map((kind) => [
        kind.replace('_', '-'),
        { ...draft, title: KIND_SCHEMAS[kind], ...objects[kind] },
      ]),
    ),
    policy: {
      ...draft,
      title: 'PolicyDocument',
      ...documentSchema((kind) => ({ $ref: `#/$defs/${kind}` })),
      $defs: objects,
    },
  }
}

function policySchemas(): Record<string, Schema> {
  return {
    ...Object.fromEntries(
      POLICY_KINDS.map((kind) => [KIND_SCHEMAS[kind], inputSchema(OBJECT_SCHEMAS[kind])]),
    ),
    PolicyDocument: documentSchema((kind) => ref(KIND_SCHEMAS[kind])),
  }
}

function documentSchema(item: (kind: (typeof POLICY_KINDS)[number]) => Schema): Schema {
  const lists = Object.fromEntries(POLICY_KINDS.map((kind) => [kind, listOf(item(kind))]))
  return { ...object(lists, []), additionalProperties: false }
}

function paths(): Schema {
  const byPath: Record<string, Record<string, Schema>> = {}
  for (const operation of OPERATIONS) {
    const methods = (byPath[operation.path] ??= {})
    methods[operation.method] = describe(operation)
  }
  return byPath
}

function describe(operation: Operation): Schema {
  const { id, tag, summary, needs, parameters, request } = operation
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(needs === null || needs === 'handle' ? {} : { 'x-role': needs }),
    security:
      needs === null
        ? []
        : [{ [needs === 'handle' ? 'handle' : 'admin']: [] }, { boundHandle: [] }],
    ...(parameters === undefined || parameters.length === 0
      ? {}
      : { parameters: parameters.map((parameter) => ({ schema: STRING, ...parameter })) }),
    ...(request === undefined
      ? {}
      : {
          requestBody: {
            required: request.optional !== true,
            content: { [request.mediaType]: { schema: request.schema } },
          },
        }),
    responses: responses(operation),
  }
}

function responses(operation: Operation): Schema {
  const answers = Object.entries(operation.success).map(([status, answer]) => [
    status,
    response(answer),
  ])
  const refused = operation.refusals.map((status) => [
    status,
    { $ref: `#/components/responses/${refusalName(status, operation.oauth === true)}` },
  ])
  return Object.fromEntries([...answers, ...refused])
}

function refusalName(status: Refusal, oauth: boolean): string {
  return `${oauth ? 'OAuth' : 'Problem'}${status}`
}

function refusalResponses(): Schema {
  const used = OPERATIONS.flatMap(({ refusals, oauth }) =>
    refusals.map((status) => ({ status, oauth: oauth === true })),
  )
  return Object.fromEntries(
    used.map(({ status, oauth }) => [
      refusalName(status, oauth),
      response({
        description: REFUSALS[status],
        mediaType: oauth ? 'application/json' : 'application/problem+json',
        schema: ref(oauth ? 'OAuthError' : 'Problem'),
      }),
    ]),
  )
}

function response({ description, mediaType, schema }: Answered): Schema {
  if (mediaType === undefined) return { description }
  return { description, content: { [mediaType]: { schema: schema ?? {} } } }
}
