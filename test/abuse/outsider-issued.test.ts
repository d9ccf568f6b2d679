// Tokens of the federation issuer kept apart: from clouds that trust the issuer, and agents' credentials from
// the role that revokes them.
import { describe, expect, test } from 'vitest'
import { awsNames } from '../../functions/targets/aws-names.ts'
import { createIdJagTarget } from '../../functions/targets/id-jag.ts'
import { createTxnTokenTarget } from '../../functions/targets/txn-token.ts'
import { mintFactsOf } from '../fakes/mint-facts.ts'
import { mistakesOf } from '../targets/issued-tokens.ts'

describe('an editor of targets', () => {
  test.each([
    'sts.amazonaws.com',
    'STS.amazonaws.com.CN',
    'sts.amazonaws.eu',
    'https://sts.eusc-de-east-1.amazonaws.eu',
    '//iam.googleapis.com/projects/1',
    'API://AzureADTokenExchange',
  ])('has no token issued that is for %s', (audience) => {
    const config = { audience, scopes: { a: 'read' } }
    for (const type of [createTxnTokenTarget, createIdJagTarget]) {
      expect(mistakesOf(type, { config })).toContain('/config/audience unsafe')
    }
  })

  test.each([
    ['sallyport', 'revoker'],
    ['sallyport-revoker', ''],
    ['x', 'sallyport-revoker'],
  ])('SC-08: nobody of %s, %j has the source identity of the revoker', (authMethod, subject) => {
    const { sourceIdentity } = awsNames(mintFactsOf({ authMethod, subject }))
    expect(sourceIdentity).toContain('=')
    expect(sourceIdentity).not.toBe('sallyport-revoker')
  })
})
