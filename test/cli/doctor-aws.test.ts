// `sallyport doctor` on targets of type `aws-sts`: what the trust policy of the role has to pin.
import { expect, test } from 'vitest'
import type { BrokerClient } from '../../functions/cli/broker-client.ts'
import { awsTargetCheck } from '../../functions/cli/doctor-aws.ts'
import { CliError, EXIT } from '../../functions/cli/io.ts'

const ROLE = 'arn:aws:iam::123456789012:role/reader'
const TARGET = { name: 'lake', type: 'aws-sts', config: { role_arn: ROLE } }

function brokerThat(says: Headers | CliError): BrokerClient {
  return {
    server: 'https://broker.example',
    get: () => Promise.reject(new Error('not asked for')),
    form: () => Promise.reject(new Error('not asked for')),
    async admin(method, path) {
      expect([method, path]).toEqual(['GET', '/targets/lake'])
      if (says instanceof CliError) throw says
      return { status: 200, headers: says, body: TARGET }
    },
  }
}

test('by role it is the external id, which the broker alone knows (SC-08)', async () => {
  const headers = new Headers({ 'sallyport-external-id': 'abc' })
  expect(await awsTargetCheck(TARGET, brokerThat(headers))).toEqual({
    check: 'target lake',
    status: 'OK',
    detail: `${ROLE}: its trust policy pins sts:ExternalId abc`,
  })
})

test('by web identity it is the subject of the broker’s tokens', async () => {
  expect(await awsTargetCheck(TARGET, brokerThat(new Headers()))).toMatchObject({
    status: 'OK',
    detail: `${ROLE}: its trust policy pins the subject sallyport:lake of the federation issuer`,
  })
})

test('what may not be read is said, and not guessed', async () => {
  const refused = new CliError(EXIT.refused, 'forbidden')
  expect(await awsTargetCheck(TARGET, brokerThat(refused))).toMatchObject({
    status: 'WARN',
    fix: 'the token needs the role viewer',
  })
})
