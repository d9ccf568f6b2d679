// `aws.call` as another gateway states it: `{ service, operation, parameters? }`. What it does is read
// from the table of AWS actions, and an operation that is not in it is denied; on what it does it stays
// undetermined, so that no deterministic tier allows it where objects are restricted.
import type { ActionType } from '../core/action-type.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { EFFECTS } from '../core/policy.ts'
import { fail, ok } from '../core/result.ts'
import { type AwsAction, type AwsService, loadAwsActions } from './aws-table.ts'

export const readAwsCall: ActionType['read'] = async ({ properties, resource }) => {
  const { service: name, operation } = properties
  const wrong = mistake(properties)
  if (wrong !== null) return fail(`malformed_${wrong}`)
  const service = (await loadAwsActions()).service(String(name))
  if (service === null) return fail('unknown_service')
  const actions = actionsOf(service, String(operation))
  if (actions.length === 0) return fail('unknown_operation')
  const action = {
    name: 'aws.call' as const,
    target: resource.id,
    targetType: resource.type,
    targetLabels: resource.labels,
    effects: EFFECTS.filter((effect) => actions.some(({ effects }) => effects.includes(effect))),
    objects: [],
    destinations: [],
    properties,
    record: { service: service.name, operation: String(operation) },
  }
  return ok({ action, undetermined: ['objects', 'destinations'] })
}

function mistake({ service, operation, parameters }: JsonObject): string | null {
  if (!isName(service)) return 'service'
  if (!isName(operation)) return 'operation'
  return parameters === undefined || isJsonObject(parameters) ? null : 'parameters'
}

function isName(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== ''
}

/** Operations that IAM knows by other names: those of them that it asks for. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ['dynamodb:BatchExecuteStatement', 'PartiQLDelete PartiQLInsert PartiQLSelect PartiQLUpdate'],
  ['dynamodb:ExecuteStatement', 'PartiQLDelete PartiQLInsert PartiQLSelect PartiQLUpdate'],
  ['dynamodb:ExecuteTransaction', 'PartiQLDelete PartiQLInsert PartiQLSelect PartiQLUpdate'],
  ['dynamodb:TransactGetItems', 'GetItem'],
  ['dynamodb:TransactWriteItems', 'ConditionCheckItem DeleteItem PutItem UpdateItem'],
  ['lambda:Invoke', 'InvokeFunction'],
  ['lambda:InvokeWithResponseStream', 'InvokeFunction'],
  ['s3:CompleteMultipartUpload', 'PutObject'],
  ['s3:CopyObject', 'GetObject PutObject'],
  ['s3:CreateMultipartUpload', 'PutObject'],
  ['s3:DeleteObjects', 'DeleteObject'],
  ['s3:HeadBucket', 'ListBucket'],
  ['s3:HeadObject', 'GetObject'],
  ['s3:ListBuckets', 'ListAllMyBuckets'],
  ['s3:ListMultipartUploads', 'ListBucketMultipartUploads'],
  ['s3:ListObjectVersions', 'ListBucketVersions'],
  ['s3:ListObjects', 'ListBucket'],
  ['s3:ListObjectsV2', 'ListBucket'],
  ['s3:ListParts', 'ListMultipartUploadParts'],
  ['s3:UploadPart', 'PutObject'],
  ['s3:UploadPartCopy', 'GetObject PutObject'],
  ['sns:PublishBatch', 'Publish'],
  ['sqs:ChangeMessageVisibilityBatch', 'ChangeMessageVisibility'],
  ['sqs:DeleteMessageBatch', 'DeleteMessage'],
  ['sqs:SendMessageBatch', 'SendMessage'],
])

function actionsOf({ name, actions }: AwsService, operation: string): readonly AwsAction[] {
  const names = OTHER_NAMES.get(`${name}:${operation}`)?.split(' ') ?? [operation]
  return actions.filter((action) => names.includes(action.name))
}
