// An AWS credential of an exchange as other programs take it: the document of `credential_process`, and the
// variables that every AWS SDK reads. Standard output only, and checked first: half a credential is none.
import { membersOf } from './broker-client.ts'
import { CliError, EXIT } from './io.ts'

export type AwsDocument = {
  readonly Version: 1
  readonly AccessKeyId: string
  readonly SecretAccessKey: string
  readonly SessionToken: string
  readonly Expiration: string
}

/** Exactly the five members that `credential_process` knows, of an answer that has them all. */
export function awsDocument(answer: Readonly<Record<string, unknown>>): AwsDocument {
  const members = membersOf(answer['aws_credentials'])
  const text = (name: string): string => {
    const value = members[name]
    if (typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)) return value
    throw new CliError(EXIT.unavailable, `the broker's answer holds no AWS credential (${name})`)
  }
  const document: AwsDocument = {
    Version: 1,
    AccessKeyId: text('AccessKeyId'),
    SecretAccessKey: text('SecretAccessKey'),
    SessionToken: text('SessionToken'),
    Expiration: text('Expiration'),
  }
  if (Number.isNaN(Date.parse(document.Expiration))) {
    throw new CliError(EXIT.unavailable, 'the AWS credential of the answer says no time of its end')
  }
  return document
}

export function awsVariables(document: AwsDocument): Readonly<Record<string, string>> {
  return {
    AWS_ACCESS_KEY_ID: document.AccessKeyId,
    AWS_SECRET_ACCESS_KEY: document.SecretAccessKey,
    AWS_SESSION_TOKEN: document.SessionToken,
    AWS_CREDENTIAL_EXPIRATION: document.Expiration,
  }
}
