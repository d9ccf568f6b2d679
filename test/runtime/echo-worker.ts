// The Worker entry, with the echo app in place of the broker.
import { createWorker } from '../../functions/platforms/workerd.ts'
import { createEchoApp } from '../fakes/echo-app.ts'

export default createWorker(createEchoApp)
