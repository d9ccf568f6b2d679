// The bundles as they are shipped, plain and gzipped: the entry, and the parts that it imports on demand.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

export type Weight = { readonly bytes: number; readonly gzip: number }
export type Size = { readonly name: string; readonly entry: Weight; readonly parts: Weight }

const BUNDLES = {
  node: 'dist/node/server.js',
  cli: 'dist/node/cli.js',
  worker: 'dist/worker/worker.js',
  lambda: 'dist/lambda/index.mjs',
} as const

export function buildBundles(): void {
  execFileSync(process.execPath, ['scripts/build.ts', '--quiet'], { stdio: 'inherit' })
}

export function bundleSizes(): readonly Size[] {
  return Object.entries(BUNDLES).map(([name, file]) => {
    const parts = partsOf(file)
    return { name, entry: weightOf([file]), parts: weightOf(parts) }
  })
}

function weightOf(files: readonly string[]): Weight {
  const contents = files.map((file) => readFileSync(file))
  return {
    bytes: contents.reduce((sum, { length }) => sum + length, 0),
    gzip: contents.reduce((sum, content) => sum + gzipSync(content).length, 0),
  }
}

/** Files that the entry imports, and those that they do; whatever else an older build left is not counted. */
function partsOf(entry: string): readonly string[] {
  const seen = new Set([entry])
  for (const file of seen) {
    const imports = readFileSync(file, 'utf8').matchAll(/["'](\.{1,2}\/[\w/.-]+\.m?js)["']/g)
    for (const [, path = ''] of imports) {
      if (/-[A-Z0-9]{8}\.m?js$/.test(path)) seen.add(join(dirname(file), path))
    }
  }
  seen.delete(entry)
  return [...seen]
}
