import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  type ArnFormat,
  arnFormats,
  isPossible,
  readPattern,
} from '../../functions/actions/arn-format.ts'
import { loadAwsActions } from '../../functions/actions/aws-table.ts'
import { effectsOf } from '../../scripts/aws-effects.ts'
import { arnsOf, isKept, readServices } from '../../scripts/aws-services.ts'
import { awsActionsTable } from '../../scripts/generate-aws-actions.ts'

const FILE = 'functions/actions/aws-table.gen.ts'
const table = await loadAwsActions()

/** Back to `arn:*:s3:::*`. */
function textOf({ parts }: ArnFormat): string {
  const texts = parts.map((part) =>
    part.map((token) => (typeof token === 'string' ? token : token.many ? '' : '*')).join(''),
  )
  return texts.join(':')
}

describe('the table of AWS actions', () => {
  test('is what the pinned data makes', () => {
    expect(readFileSync(FILE, 'utf8')).toBe(awsActionsTable())
  })

  test('is at most 60 KiB compressed', () => {
    expect(gzipSync(readFileSync(FILE)).length).toBeLessThanOrEqual(60 * 1024)
  })

  test('gives back every action of every service that it has, with its effects and formats', () => {
    const kept = readServices().filter(isKept)
    expect(table.names).toEqual(kept.map(({ name }) => name))
    for (const reference of kept) {
      const wanted = reference.actions.map((action) => [
        action.name,
        effectsOf({ service: reference.name, ...action }).join(),
        ...arnsOf(action, reference).toSorted(),
      ])
      const got = table.service(reference.name)?.actions ?? []
      const read = got.map(({ name, effects, formats }) => [
        name,
        effects.join(),
        ...formats.map(textOf).sort(),
      ])
      expect(read.sort(), reference.name).toEqual(wanted.sort())
    }
  })

  test('knows nothing of a service that it does not have', () => {
    for (const name of ['', 'nothing', '__proto__', 'constructor', 'S3', 'support']) {
      expect(table.service(name)).toBe(null)
    }
  })

  test('has the services that programs call', () => {
    const wanted =
      's3 dynamodb sqs sns ses lambda states ssm ec2 iam secretsmanager kms sts ecs eks ecr rds rds-data ' +
      'athena glue kinesis firehose events scheduler logs cloudwatch bedrock cloudformation codebuild ' +
      'batch elasticache redshift redshift-data apigateway execute-api cognito-idp appsync sagemaker'
    const missing = wanted.split(' ').filter((name) => table.service(name) === null)
    expect(missing).toEqual([])
  })
})

describe('formats of ARNs', () => {
  const formats = ['table/*', 'table/*/index/*', 'function:*', 'function:*:*', 'parameter/*']
  const [tables, indexes, functions, aliases, parameters] = arnFormats(
    formats.map((format) => `arn:*:x:*:*:${format}`),
  )
  const possible = (format: typeof tables, resource: string) =>
    format !== undefined && isPossible(format, readPattern(`arn:aws:x:eu-west-1:1:${resource}`))

  test.each([
    ['table/orders', true, false],
    ['table/*', true, true],
    ['table/orders/index/*', false, true],
    ['table/orders/*', false, true],
    ['*', true, true],
    ['tab*', true, true],
    ['tab?e/*', true, true],
    ['table', false, false],
    ['table/', false, false],
    ['table/?', true, false],
    ['table/${*}', true, false],
    ['other/*', false, false],
    ['*/index/by-date', false, true],
  ])('%s may be a table: %s, an index: %s', (resource, isTable, isIndex) => {
    expect(possible(tables, resource)).toBe(isTable)
    expect(possible(indexes, resource)).toBe(isIndex)
  })

  test('a name holds separators where no other type goes on behind it', () => {
    expect(possible(parameters, 'parameter/a/b/c')).toBe(true)
    expect(possible(functions, 'function:f:live')).toBe(false)
    expect(possible(aliases, 'function:f:live')).toBe(true)
  })

  test('service, region and account are held apart', () => {
    const [queue] = arnFormats(['arn:*:sqs:*:*:*'])
    const [object] = arnFormats(['arn:*:s3:::*/*'])
    expect(queue && isPossible(queue, readPattern('arn:aws:sqs:*:*:*'))).toBe(true)
    expect(queue && isPossible(queue, readPattern('arn:aws:sns:*:*:*'))).toBe(false)
    expect(object && isPossible(object, readPattern('arn:aws:s3:::b/*'))).toBe(true)
    expect(object && isPossible(object, readPattern('arn:aws:s3:*:*:b/*'))).toBe(true)
    expect(object && isPossible(object, readPattern('arn:aws:s3:eu-west-1:1:b/*'))).toBe(false)
  })
})
