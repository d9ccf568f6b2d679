// `npm run build`: the Node server, the CLI, the Worker and the Lambda function into dist/, with sizes.
// `--json` prints the sizes as JSON; names after it build only those parts.
import { parseArgs } from 'node:util'
import { type BundleSize, bundleSize, type Weight } from './bundle-sizes.ts'
import { bundleCli, bundleLambda, bundleNode, bundleWorker } from './bundles.ts'

type Part = {
  readonly name: string
  readonly file: string
  readonly build: () => Promise<void>
}

const CLI_ENTRY = 'functions/cli/main.ts'

const parts: readonly Part[] = [
  {
    name: 'node',
    file: 'dist/node/server.js',
    build: async () => bundleNode('functions/node.ts', 'dist/node/server.js'),
  },
  {
    name: 'cli',
    file: 'dist/node/cli.js',
    build: async () => bundleCli(CLI_ENTRY, 'dist/node/cli.js'),
  },
  {
    name: 'worker',
    file: 'dist/worker/worker.js',
    build: async () => bundleWorker('functions/worker.ts', 'dist/worker/worker.js'),
  },
  {
    name: 'lambda',
    file: 'dist/lambda/index.mjs',
    build: async () => bundleLambda('functions/lambda.ts', 'dist/lambda/index.mjs'),
  },
]

type Size = BundleSize & { readonly name: string; readonly file: string }

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'boolean' }, quiet: { type: 'boolean' } },
    allowPositionals: true,
  })
  const wanted =
    positionals.length === 0 ? parts : parts.filter(({ name }) => positionals.includes(name))
  const sizes: Size[] = []
  for (const part of wanted) {
    await part.build()
    sizes.push({ name: part.name, file: part.file, ...bundleSize(part.file) })
  }
  if (values.json === true) console.log(JSON.stringify(sizes, null, 2))
  else if (values.quiet !== true) printTable(sizes)
}

function printTable(sizes: readonly Size[]): void {
  const kib = (bytes: number) => (bytes / 1024).toFixed(1).padStart(9)
  const both = ({ bytes, gzip }: Weight) => `${kib(bytes)} ${kib(gzip)}`
  console.log(
    `${'bundle'.padEnd(8)} ${'file'.padEnd(24)} ${'start KiB'.padStart(9)} ${'gz'.padStart(9)} ${'on demand'.padStart(9)} ${'gz'.padStart(9)}`,
  )
  for (const { name, file, start, onDemand, largeParts } of sizes) {
    console.log(`${name.padEnd(8)} ${file.padEnd(24)} ${both(start)} ${both(onDemand)}`)
    for (const { part, ...weight } of largeParts) {
      console.log(`${' '.repeat(9)}${part.padEnd(44)} ${both(weight)}`)
    }
  }
}

await main()
