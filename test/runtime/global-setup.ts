// Makes the bundles before the suites that start them, once even when several projects ask: the shipped
// ones, and the echo app's in the same way.
import { bundleCli, bundleLambda, bundleNode, bundleWorker } from '../../scripts/bundles.ts'

let made: Promise<void> | null = null

export default async function setup(): Promise<void> {
  made ??= make()
  await made
}

async function make(): Promise<void> {
  await Promise.all([
    bundleNode('test/runtime/echo-node.ts', '.cache/rig/node/server.js'),
    bundleLambda('test/runtime/echo-lambda.ts', '.cache/rig/lambda/index.mjs'),
    bundleNode('functions/node.ts', 'dist/node/server.js'),
    bundleCli('functions/cli/main.ts', 'dist/node/cli.js'),
    bundleLambda('functions/lambda.ts', 'dist/lambda/index.mjs'),
    bundleWorker('functions/worker.ts', 'dist/worker/worker.js'),
  ])
}
