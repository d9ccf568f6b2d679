// A target type that hands over credentials of nobody's making: what the core does with a plan, a mint that
// fails and a credential that must not be seen can be tried without any cloud.
import { arnTemplateMistake, isArn } from '../../functions/core/arn-pattern.ts'
import type { Failure } from '../../functions/core/failure.ts'
import type { MintFacts, Minted, Minting, MintPlan } from '../../functions/core/minting.ts'
import { fail, ok, type Result } from '../../functions/core/result.ts'
import type { TargetType } from '../../functions/core/target.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { credentialTarget } from '../../functions/targets/credential-target.ts'

/** In every secret field, so that one look finds a leak. */
export const CANARY = 'canary-minted'

export type FakeMint = {
  readonly type: TargetType
  /** Facts of every plan, and what was minted, in order. */
  readonly planned: MintFacts[]
  readonly minted: MintPlan[]
  /** What the next mints answer instead. */
  answer: ((plan: MintPlan) => Promise<Result<Minted, Failure>>) | null
  refusal: Failure | null
  /** What a plan is of, besides its grants. */
  role: string
}

export function fakeMint(tokenType: string = TOKEN_TYPES.awsCredentials): FakeMint {
  const fake: FakeMint = {
    planned: [],
    minted: [],
    answer: null,
    refusal: null,
    role: 'fake',
    type: {
      type: 'fake-sts',
      delivery: 'credential',
      validate: () => [],
      grantMistakes: (grants) =>
        grants.flatMap(({ objects }, i) =>
          objects.flatMap((object) => {
            const message = isArn(object) ? arnTemplateMistake(object) : null
            return message === null ? [] : [{ path: `/grants/${i}`, code: 'pattern', message }]
          }),
        ),
      compile(policy) {
        const minting: Minting = {
          tokenType,
          async plan(facts) {
            fake.planned.push(facts)
            if (fake.refusal !== null) return fail(fake.refusal)
            return ok(planFor(policy.name, facts, fake.role))
          },
          async mint(plan) {
            fake.minted.push(plan)
            return fake.answer === null
              ? ok(mintedFor(plan, fake.minted.length))
              : fake.answer(plan)
          },
        }
        return credentialTarget(policy, minting)
      },
    },
  }
  return fake
}

function planFor(target: string, { grants, endsAt, sessionId }: MintFacts, role: string): MintPlan {
  const effects = [...new Set(grants.flatMap((grant) => grant.effects))]
  const objects = [...new Set(grants.flatMap((grant) => grant.objects))]
  return {
    action: {
      name: 'aws.assume',
      target,
      targetType: 'fake-sts',
      targetLabels: [],
      effects,
      objects,
      destinations: ['fake'],
      properties: { role },
      record: { role },
    },
    endsAt,
    prepared: { sessionId },
  }
}

export function mintedFor({ endsAt }: MintPlan, serial: number): Minted {
  const Expiration = new Date(endsAt * 1000).toISOString()
  const AccessKeyId = `${CANARY}-id-${serial}`
  const SecretAccessKey = `${CANARY}-secret-${serial}`
  const token = `${CANARY}-token-${serial}`
  return {
    token,
    expiresAt: endsAt,
    members: {
      aws_credentials: {
        Version: 1,
        AccessKeyId,
        SecretAccessKey,
        SessionToken: token,
        Expiration,
      },
    },
    document: { AccessKeyId, SecretAccessKey, Token: token, Expiration },
    record: { honoured_until_expiry: true },
  }
}
