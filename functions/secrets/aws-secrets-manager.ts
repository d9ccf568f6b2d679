// `aws-secrets-manager:{name or ARN}[?stage=LABEL | ?version=ID][#key]`: secrets in AWS Secrets Manager.
import type { SecretSource } from '../core/secret-source.ts'
import { readSecretReference } from './aws-reference.ts'
import { type AwsSourceDeps, createAwsSource } from './aws-source.ts'

export function createSecretsManagerSource(deps: AwsSourceDeps): SecretSource {
  return createAwsSource({ scheme: 'aws-secrets-manager', read: readSecretReference }, deps)
}
