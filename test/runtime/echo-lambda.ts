// The Lambda entry, with the echo app in place of the broker.
import { createLambdaHandler } from '../../functions/platforms/lambda.ts'
import { createEchoApp } from '../fakes/echo-app.ts'

export const handler = createLambdaHandler(createEchoApp)
