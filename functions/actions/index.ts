// The list of the actions/ family.
import type { ActionType } from '../core/action-type.ts'
import { awsCall } from './aws.ts'
import { mcpCall, sqlQuery } from './stated.ts'
import { httpRequest } from './http-request.ts'
import { sessionOpen } from './session-open.ts'

export const ACTION_TYPES: readonly ActionType[] = [
  httpRequest,
  mcpCall,
  sqlQuery,
  awsCall,
  sessionOpen,
]
