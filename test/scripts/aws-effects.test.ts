import { describe, expect, test } from 'vitest'
import { readServices } from '../../scripts/aws-services.ts'
import { effectsOf } from '../../scripts/aws-effects.ts'

const services = new Map(readServices().map((service) => [service.name, service]))

/** By the access level that AWS gives it. */
function effectOf(action: string): string {
  const [service = '', name = ''] = action.split(':')
  const known = services.get(service)?.actions.find((one) => one.name === name)
  if (known === undefined) throw new Error(`there is no ${action}`)
  return effectsOf({ service, name, accessLevel: known.accessLevel }).join('+')
}

const WELL_KNOWN: Readonly<Record<string, string>> = {
  read: `s3:GetObject s3:ListBucket s3:ListAllMyBuckets s3:GetBucketPolicy dynamodb:GetItem dynamodb:Query
    dynamodb:Scan dynamodb:BatchGetItem dynamodb:DescribeTable dynamodb:PartiQLSelect sqs:ReceiveMessage
    sqs:GetQueueUrl sns:ListTopics ses:GetSendQuota lambda:GetFunction states:DescribeExecution
    states:GetExecutionHistory ssm:GetParameter ssm:GetParametersByPath ssm:DescribeInstanceInformation
    ec2:DescribeInstances ec2:GetConsoleOutput iam:GetRole iam:ListUsers iam:ListAccessKeys
    iam:GetAccessKeyLastUsed secretsmanager:DescribeSecret secretsmanager:ListSecrets kms:DescribeKey
    kms:ListKeys kms:GetPublicKey sts:GetCallerIdentity cloudwatch:GetMetricData logs:FilterLogEvents
    athena:GetQueryResults ecr:BatchGetImage`,
  write: `s3:PutObject s3:CreateBucket s3:PutObjectTagging dynamodb:PutItem dynamodb:UpdateItem
    dynamodb:CreateTable dynamodb:TagResource dynamodb:PartiQLInsert sqs:CreateQueue
    sqs:ChangeMessageVisibility sns:CreateTopic sns:Subscribe ses:CreateTemplate lambda:CreateFunction
    lambda:UpdateFunctionCode lambda:PublishVersion states:CreateStateMachine states:StopExecution
    ssm:PutParameter ec2:CreateTags ec2:StopInstances ec2:ModifyInstanceAttribute
    secretsmanager:PutSecretValue secretsmanager:CreateSecret secretsmanager:TagResource kms:CreateKey
    kms:CancelKeyDeletion kms:EnableKeyRotation logs:PutLogEvents kinesis:PutRecord`,
  delete: `s3:DeleteObject s3:DeleteObjectVersion s3:DeleteBucket s3:ReplicateDelete dynamodb:DeleteItem
    dynamodb:DeleteTable dynamodb:PartiQLDelete sqs:DeleteMessage sqs:PurgeQueue sqs:DeleteQueue
    sns:DeleteTopic ses:DeleteIdentity lambda:DeleteFunction states:DeleteStateMachine
    ssm:DeleteParameter ec2:TerminateInstances ec2:DeleteVolume ec2:ReleaseAddress
    secretsmanager:DeleteSecret kms:ScheduleKeyDeletion ecr:BatchDeleteImage
    cognito-idp:AdminDeleteUser`,
  'write+delete': `dynamodb:BatchWriteItem`,
  send: `sqs:SendMessage sns:Publish ses:SendEmail ses:SendRawEmail ses:SendBulkTemplatedEmail events:PutEvents
    iot:Publish`,
  execute: `lambda:InvokeFunction states:StartExecution states:StartSyncExecution states:SendTaskSuccess
    states:RedriveExecution ssm:SendCommand ssm:StartSession ssm:StartAutomationExecution ec2:RunInstances
    ec2:StartInstances ec2:RebootInstances ecs:RunTask ecs:ExecuteCommand codebuild:StartBuild
    batch:SubmitJob rds-data:ExecuteStatement execute-api:Invoke bedrock:InvokeModel
    athena:StartQueryExecution kms:Decrypt kms:Encrypt kms:GenerateDataKey kms:Sign kms:Verify
    kms:ReEncryptFrom`,
  admin: `s3:PutBucketPolicy s3:PutBucketAcl s3:PutObjectAcl s3:BypassGovernanceRetention sqs:AddPermission
    sns:AddPermission lambda:AddPermission kms:PutKeyPolicy kms:CreateGrant iam:CreateUser iam:CreateRole
    iam:CreateAccessKey iam:AttachRolePolicy iam:PutUserPolicy iam:PassRole iam:UpdateAssumeRolePolicy
    iam:CreateLoginProfile iam:AddUserToGroup iam:DeactivateMFADevice iam:DeleteRole iam:TagRole
    iam:AddRoleToInstanceProfile sts:AssumeRole sts:AssumeRoleWithWebIdentity sts:AssumeRoot
    sts:GetSessionToken sts:GetFederationToken sts:GetWebIdentityToken secretsmanager:GetSecretValue
    secretsmanager:BatchGetSecretValue secretsmanager:PutResourcePolicy ssm:ModifyDocumentPermission
    ec2:GetPasswordData ec2:CreateKeyPair ec2:AssociateIamInstanceProfile
    ec2-instance-connect:SendSSHPublicKey ecr:GetAuthorizationToken ecr:SetRepositoryPolicy
    cognito-identity:GetCredentialsForIdentity cognito-idp:AdminSetUserPassword
    redshift:GetClusterCredentials sagemaker:CreatePresignedDomainUrl appsync:CreateApiKey
    rds:AddRoleToDBCluster organizations:CreateAccount organizations:AttachPolicy sso:CreatePermissionSet
    ram:CreateResourceShare acm:ExportCertificate rds-db:connect`,
}

describe('effects of well-known actions', () => {
  for (const [effect, actions] of Object.entries(WELL_KNOWN)) {
    test.each(actions.trim().split(/\s+/))(`%s is ${effect}`, (action) => {
      expect(effectOf(action)).toBe(effect)
    })
  }
})

describe('effects of all actions', () => {
  const all = [...services.values()].flatMap((service) =>
    service.actions.map(({ name, accessLevel }) => ({
      name,
      accessLevel,
      effects: effectsOf({ service: service.name, name, accessLevel }),
    })),
  )

  test('what AWS calls permissions management is nothing but admin', () => {
    const managing = all.filter(({ accessLevel }) => accessLevel.includes('Permissions management'))
    expect(managing.length).toBeGreaterThan(300)
    expect(managing.filter(({ effects }) => effects.join() !== 'admin')).toEqual([])
  })

  test('what AWS says writes is never read', () => {
    const isReading = (level: string) => level === 'Read' || level === 'List'
    const writing = all.filter(({ accessLevel }) => !accessLevel.split(', ').every(isReading))
    expect(writing.length).toBeGreaterThan(10_000)
    expect(writing.filter(({ effects }) => effects.includes('read'))).toEqual([])
  })

  test('no name that begins with Delete passes for a harmless one', () => {
    const deleting = all.filter(({ name }) => /^(Batch)?Delete/.test(name))
    const wrong = deleting.filter(
      ({ effects, accessLevel }) =>
        accessLevel !== 'Tagging, Write' && !['delete', 'admin'].includes(effects.join()),
    )
    expect(wrong.filter(({ accessLevel }) => accessLevel === 'Write')).toEqual([])
  })
})
