// The Node entry, with the echo app in place of the broker.
import { runNode } from '../../functions/platforms/node.ts'
import { createEchoApp } from '../fakes/echo-app.ts'

await runNode(createEchoApp)
