// The bundles as they are shipped, plain and gzipped: what starts, and what is imported on demand.
import { execFileSync } from 'node:child_process'
import { type BundleSize, bundleSize } from '../scripts/bundle-sizes.ts'

export type Size = BundleSize & { readonly name: string }

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
  return Object.entries(BUNDLES).map(([name, file]) => ({ name, ...bundleSize(file) }))
}
