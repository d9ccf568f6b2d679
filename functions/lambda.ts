// Entry of the AWS Lambda function: `index.handler` of dist/lambda.
import { createApp } from './app.ts'
import { createLambdaHandler } from './platforms/lambda.ts'

export const handler = createLambdaHandler(createApp)
