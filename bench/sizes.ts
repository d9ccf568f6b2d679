// The bundles as they are shipped, plain and gzipped.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

export type Size = { readonly name: string; readonly bytes: number; readonly gzip: number }

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
    const bytes = readFileSync(file)
    return { name, bytes: bytes.length, gzip: gzipSync(bytes).length }
  })
}
