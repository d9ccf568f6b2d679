// `npm start`: the bundled server, made first when it is missing or older than its sources.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const BUNDLE = 'dist/node/server.js'
const SOURCES = ['functions', 'schema', 'package.json', 'scripts/bundles.ts']

function newestChangeMs(path: string): number {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(
    stat.mtimeMs,
    ...readdirSync(path).map((name) => newestChangeMs(`${path}/${name}`)),
  )
}

function isStale(): boolean {
  if (!existsSync(BUNDLE)) return true
  // A deployment may ship the bundle without its sources.
  const sources = SOURCES.filter((path) => existsSync(path))
  return sources.some((path) => newestChangeMs(path) > statSync(BUNDLE).mtimeMs)
}

if (isStale()) {
  const { bundleNode } = await import('./bundles.ts')
  await bundleNode('functions/node.ts', BUNDLE)
}
await import(pathToFileURL(BUNDLE).href)
