// A target of type `aws-sts` on STS as a fake that answers what was asked, and the facts of one session.
import type {
  AssumedRole,
  AssumeRoleInput,
  AwsFault,
  StsApi,
  WebIdentityInput,
} from '../../functions/aws/contract.ts'
import { Secret } from '../../functions/core/credential.ts'
import type { JsonObject } from '../../functions/core/identity.ts'
import type { Minted, MintFacts, Minting, MintPlan } from '../../functions/core/minting.ts'
import type { TargetPolicy } from '../../functions/core/policy.ts'
import { ok, type Result } from '../../functions/core/result.ts'
import { sha256Hashing } from '../../functions/platforms/system.ts'
import { createAwsStsTarget, type AwsStsDeps } from '../../functions/targets/aws-sts.ts'
import { manualClock, type ManualClock } from '../fakes/manual-clock.ts'

export const NOW = Date.parse('2026-11-22T10:00:00Z') / 1000

/** Of every secret that STS or the federation hands to the target. */
export const CANARIES = {
  secretAccessKey: 'CanarySecretAccessKey0123456789+/abcdefgh',
  sessionToken: 'CanarySessionToken0123456789+/==',
  webIdentity: 'header.CanaryWebIdentity.signature',
} as const

export type AskedSts =
  | { readonly by: 'role'; readonly input: AssumeRoleInput }
  | { readonly by: 'web_identity'; readonly input: WebIdentityInput }

export type StsWorld = {
  readonly deps: AwsStsDeps
  readonly clock: ManualClock
  readonly asked: AskedSts[]
  readonly signed: { claims: Readonly<Record<string, unknown>>; typ: string }[]
  /** Changes what STS would answer. */
  answer: (role: AssumedRole) => Result<AssumedRole, AwsFault>
}

export function stsWorld(given: Partial<AwsStsDeps> = {}): StsWorld {
  const clock = manualClock(NOW)
  const world: StsWorld = {
    clock,
    asked: [],
    signed: [],
    answer: ok,
    deps: {
      env: (name) => ({ AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'x' })[name],
      reach: { privateNetwork: false, loopback: false },
      canAssumeByRole: true,
      sts: async () => sts,
      federation: {
        issuer: 'https://broker.example/federation',
        async sign(claims, typ) {
          world.signed.push({ claims, typ })
          return CANARIES.webIdentity
        },
      },
      externalIds: { of: async (target) => `external-id-of-${target}` },
      clock,
      ids: { fresh: (prefix) => `${prefix}_1` },
      outbound: () => Promise.reject(new Error('this test asks nobody')),
      hashing: sha256Hashing,
      issuer: 'https://broker.example',
      ...given,
    },
  }
  const assumed = (input: AssumeRoleInput | WebIdentityInput, sourceIdentity: string | null) =>
    world.answer({
      keys: {
        accessKeyId: 'ASIAISSUED0000000001',
        secretAccessKey: new Secret(CANARIES.secretAccessKey, null),
        sessionToken: new Secret(CANARIES.sessionToken, null),
      },
      expiresAt: clock.nowSeconds() + input.durationSeconds,
      arn: `arn:aws:sts::123456789012:assumed-role/reader/${input.roleSessionName}`,
      assumedRoleId: `AROAEXAMPLE:${input.roleSessionName}`,
      sourceIdentity,
      requestId: 'c6104cbe-af31-11e0-8154-cbc7ccf896c7',
    })
  const sts: StsApi = {
    async assumeRole(input) {
      world.asked.push({ by: 'role', input })
      return assumed(input, input.sourceIdentity)
    },
    async assumeRoleWithWebIdentity(input) {
      world.asked.push({ by: 'web_identity', input })
      return assumed(input, null)
    },
  }
  return world
}

export const CONFIG: JsonObject = {
  region: 'eu-west-1',
  role_arn: 'arn:aws:iam::123456789012:role/agents/reader',
}

export function stsTarget(
  config: JsonObject = {},
  more: Partial<Omit<TargetPolicy, 'config'>> = {},
): TargetPolicy {
  return {
    name: 'reports',
    type: 'aws-sts',
    enabled: true,
    labels: ['internal'],
    ...more,
    config: { ...CONFIG, ...config },
  }
}

export function mintingOf(world: StsWorld, target: TargetPolicy = stsTarget()): Minting {
  const type = createAwsStsTarget(world.deps)
  const mistakes = type.validate(target)
  if (mistakes.length > 0) throw new Error(JSON.stringify(mistakes))
  const { minting } = type.compile(target)
  if (minting === undefined) throw new Error('it does not mint')
  return minting
}

export function facts(more: Partial<MintFacts> = {}): MintFacts {
  return {
    sessionId: 'ses_0123456789abcdefghijkl',
    identity: 'prod-k8s:system:serviceaccount:analytics:reporter',
    authMethod: 'prod-k8s',
    subject: 'system:serviceaccount:analytics:reporter',
    claims: { team: 'analytics', weird: 'a*b' },
    onBehalfOf: null,
    lineage: null,
    intent: null,
    attestedOrigin: null,
    confirmation: null,
    grants: [{ effects: ['read'], objects: ['arn:aws:s3:::reports/2026/*'] }],
    scope: null,
    now: NOW,
    endsAt: NOW + 3600,
    ...more,
  }
}

export async function planned(minting: Minting, given = facts()): Promise<MintPlan> {
  const plan = await minting.plan(given)
  if (!plan.ok) throw new Error(JSON.stringify(plan.failure))
  return plan.value
}

export async function minted(minting: Minting, given = facts()): Promise<Minted> {
  const answer = await minting.mint(await planned(minting, given))
  if (!answer.ok) throw new Error(JSON.stringify(answer.failure))
  return answer.value
}
