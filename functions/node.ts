// Entry of the Node server: `npm start`, dist/node/server.js.
import { createApp } from './app.ts'
import { runNode } from './platforms/node.ts'

await runNode(createApp)
