// Makes the bundles once before any runtime suite: the shipped ones, and the echo app's in the same way.
import { existsSync } from 'node:fs'
import { bundleLambda, bundleNode, bundleWorker } from '../../scripts/bundles.ts'

export default async function setup(): Promise<void> {
  await Promise.all([
    bundleNode('test/runtime/echo-node.ts', '.cache/rig/node/server.js'),
    bundleLambda('test/runtime/echo-lambda.ts', '.cache/rig/lambda/index.mjs'),
  ])
  if (!existsSync('functions/app.ts')) return
  await Promise.all([
    bundleNode('functions/node.ts', 'dist/node/server.js'),
    bundleLambda('functions/lambda.ts', 'dist/lambda/index.mjs'),
  ])
  bundleWorker('dist/worker')
}
