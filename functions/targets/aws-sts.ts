// The target type `aws-sts`: AWS credentials of one role, narrowed by a session policy to what was granted,
// for minutes. Planned from what policy decided; role, region and endpoint are the target's and nobody
// else's (SC-08).
import type { Minting } from '../core/minting.ts'
import type { TargetType } from '../core/target.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import type { Withdrawal } from '../core/withdrawal.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import { awsStsMistakes, type AwsStsSettings, readAwsStsSettings } from './aws-sts-config.ts'
import type { AwsStsRevokerDeps } from './aws-sts-revoker.ts'
import { credentialTarget } from './credential-target.ts'

export type AwsStsDeps = AwsStsRevokerDeps

export function createAwsStsTarget(deps: AwsStsDeps): TargetType {
  return {
    type: 'aws-sts',
    delivery: 'credential',
    async grantMistakes(grants, { config }) {
      const { arnGrantMistakes } = await import('../policy/check-arn-grants.ts')
      return arnGrantMistakes(grants, config)
    },
    validate: (target) => awsStsMistakes(target, deps),
    async externalId(target) {
      const settings = readAwsStsSettings(new ConfigReader(target.config), target, deps)
      // By web identity the role knows the broker by the issuer and subject of its token.
      return settings?.assumeBy === 'role' ? deps.externalIds.of(target.name) : null
    },
    compile(target) {
      const settings = readAwsStsSettings(new ConfigReader(target.config), target, deps)
      if (settings === null) throw new Error('a target with mistakes was compiled')
      // On demand, with the actions of AWS: few deployments need them.
      const minting: Minting = {
        tokenType: TOKEN_TYPES.awsCredentials,
        async plan(facts) {
          const { planAssume } = await import('./aws-sts-plan.ts')
          return planAssume(facts, { target, settings })
        },
        async mint(planned) {
          const { mintFromSts } = await import('./aws-sts-mint.ts')
          return mintFromSts(planned, { target: target.name, settings, deps })
        },
        withdrawal: withdrawalOf(target.name, settings, deps),
      }
      return credentialTarget(target, minting)
    },
  }
}

/** Null: AWS honours what was handed over until it expires. */
function withdrawalOf(
  target: string,
  settings: AwsStsSettings,
  deps: AwsStsDeps,
): Withdrawal | null {
  const { revokerRoleArn } = settings
  if (revokerRoleArn === null) return null
  return {
    async enforce(denied) {
      const { awsStsRevoker } = await import('./aws-sts-revoker.ts')
      return awsStsRevoker({ target, settings, revokerRoleArn, deps }).enforce(denied)
    },
  }
}
