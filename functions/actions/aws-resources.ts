// Which actions a resource pattern selects.
import { arnParts } from '../core/arn-pattern.ts'
import { isPossible, readPattern } from './arn-format.ts'
import type { AwsAction } from './aws-table.ts'

/**
 * `arn:aws:ec2:*:*:*`: everything of a service, everywhere. Only this grants actions that cannot be
 * limited to a resource, for AWS knows them under `Resource: "*"` alone.
 */
export function isWholeService(object: string): boolean {
  const [, , , ...rest] = arnParts(object) ?? []
  return rest.length > 0 && rest.every((part) => part === '*')
}

/** Of a whole service: what acts on nothing but what is that service's own. */
export function isOwn({ formats }: AwsAction, service: string): boolean {
  return formats.every((format) => format.service === service)
}

/** Whether the pattern can mean something that the action acts on. */
export function isConcerned(action: AwsAction, service: string, object: string): boolean {
  if (isWholeService(object) && isOwn(action, service)) return true
  const pattern = readPattern(object)
  return action.formats.some((format) => isPossible(format, pattern))
}
