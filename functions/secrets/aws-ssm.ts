// `aws-ssm:{name or ARN}[:version or label][#key]`: SecureString parameters of the Systems Manager Parameter
// Store, decrypted by AWS for the broker.
import type { SecretSource } from '../core/secret-source.ts'
import { readParameterReference } from './aws-reference.ts'
import { type AwsSourceDeps, createAwsSource } from './aws-source.ts'

export function createParameterStoreSource(deps: AwsSourceDeps): SecretSource {
  return createAwsSource({ scheme: 'aws-ssm', read: readParameterReference }, deps)
}
