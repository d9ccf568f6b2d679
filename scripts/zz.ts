import { bundleLambda, bundleNode } from './bundles.ts'
await bundleNode('test/runtime/echo-node.ts', '.cache/rig/node/server.js')
await bundleLambda('test/runtime/echo-lambda.ts', '.cache/rig/lambda/index.mjs')
