import { describe, expect, test } from 'vitest'
import { awsCall } from '../../functions/actions/aws.ts'
import type { JsonObject } from '../../functions/core/identity.ts'

function read(properties: JsonObject) {
  const resource = { type: 'aws-sts', id: 'lake', labels: [] }
  return awsCall.read({ properties, resource, target: null })
}

describe('aws.call', () => {
  test.each([
    ['s3', 'GetObject', ['read']],
    ['s3', 'ListObjectsV2', ['read']],
    ['s3', 'CopyObject', ['read', 'write']],
    ['s3', 'DeleteObjects', ['delete']],
    ['s3', 'PutBucketPolicy', ['admin']],
    ['dynamodb', 'BatchWriteItem', ['write', 'delete']],
    ['dynamodb', 'ExecuteStatement', ['read', 'write', 'delete']],
    ['dynamodb', 'TransactWriteItems', ['read', 'write', 'delete']],
    ['lambda', 'Invoke', ['execute']],
    ['sqs', 'SendMessageBatch', ['send']],
    ['secretsmanager', 'GetSecretValue', ['admin']],
    ['sts', 'AssumeRole', ['admin']],
  ])('%s %s is %j, on what is not told', async (service, operation, effects) => {
    expect(await read({ service, operation, parameters: {} })).toMatchObject({
      ok: true,
      value: {
        action: { name: 'aws.call', effects, objects: [], record: { service, operation } },
        undetermined: ['objects', 'destinations'],
      },
    })
  })

  test.each([
    [{ service: 'nothing', operation: 'GetObject' }, 'unknown_service'],
    [{ service: 'constructor', operation: 'GetObject' }, 'unknown_service'],
    [{ service: 's3', operation: 'Get*' }, 'unknown_operation'],
    [{ service: 's3', operation: 'toString' }, 'unknown_operation'],
    [{ service: 's3', operation: '' }, 'malformed_operation'],
    [{ service: 7, operation: 'GetObject' }, 'malformed_service'],
    [{ service: 's3', operation: 'GetObject', parameters: 'x' }, 'malformed_parameters'],
  ])('%j is denied: %s', async (properties, reason) => {
    expect(await read(properties)).toEqual({ ok: false, failure: reason })
  })

  test('parameters are judged and not recorded', async () => {
    const parameters = { Bucket: 'reports', Key: 'canary-in-a-key' }
    const understood = await read({ service: 's3', operation: 'GetObject', parameters })
    expect(understood.ok && JSON.stringify(understood.value.action.record)).not.toContain('canary')
    expect(understood.ok && understood.value.action.properties['parameters']).toEqual(parameters)
  })
})
