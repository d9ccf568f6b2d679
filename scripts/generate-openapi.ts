// Writes schema/openapi.json and the JSON Schemas of the policy objects. A test fails when the files are
// not what this would write: `node scripts/generate-openapi.ts` mends it.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import packageJson from '../package.json' with { type: 'json' }
import { openApiDocument, policyJsonSchemas } from '../functions/http/openapi.ts'

const ROOT = new URL('../', import.meta.url)

/** Path below the root, and content. */
export function generatedFiles(): Map<string, string> {
  const files = new Map([['schema/openapi.json', text(openApiDocument(packageJson.version))]])
  for (const [name, schema] of Object.entries(policyJsonSchemas()))
    files.set(`schema/json/${name}.schema.json`, text(schema))
  return files
}

function text(value: unknown): string {
  return `${JSON.stringify(value, null, 1)}\n`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, content] of generatedFiles()) {
    const file = fileURLToPath(new URL(path, ROOT))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content)
  }
}
