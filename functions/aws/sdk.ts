// What Node and Lambda have and Workers have not: AWS's own SDK. The entries import it on demand.
import { ambientKeys } from './ambient-keys.ts'
import type { AwsSdk } from './contract.ts'
import { createStsSdk } from './sts-sdk.ts'

export const awsSdk: AwsSdk = {
  createSts: createStsSdk,
  ambientKeys,
  loadSecrets: async () => (await import('./secrets-sdk.ts')).createSdkSecrets,
}
