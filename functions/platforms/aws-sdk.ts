// AWS's SDK on demand, for the entries that have it: most of what such a process would load otherwise.
import type { AwsSdk } from '../aws/contract.ts'

export async function awsSdk(): Promise<AwsSdk> {
  return (await import('../aws/sdk.ts')).awsSdk
}
