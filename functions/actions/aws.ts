// `aws.call`: read on demand, for the table of AWS actions is large and few gateways ask about them.
import type { ActionType } from '../core/action-type.ts'

export const awsCall: ActionType = {
  name: 'aws.call',
  async read(stated) {
    const { readAwsCall } = await import('./aws-call.ts')
    return readAwsCall(stated)
  },
}
