// `npm run build`: the Node server, the CLI, the Worker and the Lambda function into dist/, with sizes.
// `--json` prints the sizes as JSON; names after it build only those parts.
import { readFileSync, statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { bundleCli, bundleLambda, bundleNode, bundleWorker } from './bundles.ts'

type Part = {
  readonly name: string
  readonly file: string
  readonly build: () => void | Promise<void>
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
  { name: 'worker', file: 'dist/worker/worker.js', build: () => bundleWorker('dist/worker') },
  {
    name: 'lambda',
    file: 'dist/lambda/index.mjs',
    build: async () => bundleLambda('functions/lambda.ts', 'dist/lambda/index.mjs'),
  },
]

type Size = {
  readonly name: string
  readonly file: string
  readonly bytes: number
  readonly gzip: number
}

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
    const bytes = readFileSync(part.file)
    sizes.push({
      name: part.name,
      file: part.file,
      bytes: statSync(part.file).size,
      gzip: gzipSync(bytes).length,
    })
  }
  if (values.json === true) console.log(JSON.stringify(sizes, null, 2))
  else if (values.quiet !== true) printTable(sizes)
}

function printTable(sizes: readonly Size[]): void {
  const kib = (bytes: number) => (bytes / 1024).toFixed(1).padStart(8)
  console.log(
    `${'bundle'.padEnd(8)} ${'file'.padEnd(24)} ${'KiB'.padStart(8)} ${'KiB gz'.padStart(8)}`,
  )
  for (const { name, file, bytes, gzip } of sizes) {
    console.log(`${name.padEnd(8)} ${file.padEnd(24)} ${kib(bytes)} ${kib(gzip)}`)
  }
}

await main()
