// The AWS SDK for JavaScript as an agent uses it: clients without a word about credentials. Operations come as
// JSON in the first argument; one line of JSON says what became of each.
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'

const s3 = new S3Client({ maxAttempts: 1 })
const dynamodb = new DynamoDBClient({ maxAttempts: 1 })

const operations = {
  list: async (bucket) => {
    const { Contents: found = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket }))
    return found.map(({ Key: key }) => key)
  },
  put: async (bucket, key, text) => {
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: text }))
    return null
  },
  get: async (bucket, key) => {
    const { Body: body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
    return body.transformToString()
  },
  item: async (table, id) => {
    const { Item: item } = await dynamodb.send(
      new GetItemCommand({ TableName: table, Key: { id: { S: id } } }),
    )
    return item?.text?.S ?? null
  },
}

const results = []
for (const [name, ...args] of JSON.parse(process.argv[2])) {
  try {
    results.push({ ok: true, value: await operations[name](...args) })
  } catch (error) {
    results.push({ ok: false, code: error.name, message: error.message })
  }
}
console.log(JSON.stringify(results))
