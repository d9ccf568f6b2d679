// What the trust policy of a target's role has to say, told by the broker itself.
import { type BrokerClient, membersOf } from './broker-client.ts'
import { tried } from './doctor-broker.ts'
import type { Check } from './doctor.ts'
import { CliError } from './io.ts'

/** Only looks: whether AWS lets the broker in shows at the first credential. */
export async function awsTargetCheck(
  target: Readonly<Record<string, unknown>>,
  client: BrokerClient,
): Promise<Check> {
  const name = String(target['name'])
  const check = `target ${name}`
  const role = String(membersOf(target['config'])['role_arn'])
  const answer = await tried(() => client.admin('GET', `/targets/${encodeURIComponent(name)}`))
  if (answer instanceof CliError) {
    const detail = `${role}: how the broker assumes it cannot be read`
    return { check, status: 'WARN', detail, fix: 'the token needs the role viewer' }
  }
  const externalId = answer.headers.get('sallyport-external-id')
  const pins =
    externalId === null
      ? `its trust policy pins the subject sallyport:${name} of the federation issuer`
      : `its trust policy pins sts:ExternalId ${externalId}`
  return { check, status: 'OK', detail: `${role}: ${pins}` }
}
