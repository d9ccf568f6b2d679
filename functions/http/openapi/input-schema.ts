// JSON Schema of what a caller may send: members with a default may be left out.
import * as z from 'zod/mini'
import type { Schema } from './operation.ts'

export function inputSchema(schema: z.ZodMiniType): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io: 'input',
    // The one custom type is `config`: an object whose members belong to the type beside it.
    unrepresentable: () => ({ type: 'object' }),
  })
  return rest
}
