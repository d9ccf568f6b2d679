// The target type `aws-sts`: AWS credentials of one role, narrowed by a session policy to what was granted,
// for minutes. Planned from what policy decided; role, region and endpoint are the target's and nobody
// else's (SC-08).
import type { Minting } from '../core/minting.ts'
import type { TargetType } from '../core/target.ts'
import { TOKEN_TYPES } from '../core/token.ts'
import type { Withdrawal } from '../core/withdrawal.ts'
import { ConfigReader } from '../policy/config-reader.ts'
import type * as Planning from './aws-sts-plan.ts'
import { awsStsMistakes, type AwsStsSettings, readAwsStsSettings } from './aws-sts-config.ts'
import type { AwsStsRevokerDeps } from './aws-sts-revoker.ts'
import { mintFromSts } from './aws-sts-mint.ts'
import { credentialTarget } from './credential-target.ts'

export type AwsStsDeps = AwsStsRevokerDeps

export function createAwsStsTarget(deps: AwsStsDeps): TargetType {
  let planning: typeof Planning | null = null
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
      const minting: Minting = {
        tokenType: TOKEN_TYPES.awsCredentials,
        async plan(facts) {
          // On demand, with the actions of AWS: few deployments need them. To look a module up takes longer than to plan.
          planning ??= await import('./aws-sts-plan.ts')
          return planning.planAssume(facts, { target, settings })
        },
        mint: (planned) => mintFromSts(planned, { target: target.name, settings, deps }),
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
