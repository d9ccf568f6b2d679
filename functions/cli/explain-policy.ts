// The policy that `sallyport explain` judges with: checked and compiled by the broker's own code, with a
// network that leads nowhere unless keys may be fetched.
import { createAuthMethodTypes } from '../auth-methods/index.ts'
import { celConditions } from '../conditions/cel.ts'
import type { JsonValue } from '../core/identity.ts'
import type { PolicyDocument } from '../core/policy.ts'
import type { Clock } from '../core/ports.ts'
import { fail, ok } from '../core/result.ts'
import type { Conditions, PolicySnapshot } from '../core/snapshot.ts'
import { createEvaluatorTypes } from '../intent-evaluators/index.ts'
import { createKeySets } from '../net/key-sets.ts'
import { createNodeOutbound } from '../net/node-outbound.ts'
import { type Outbound, OutboundError } from '../net/outbound.ts'
import { sha256Hashing } from '../platforms/system.ts'
import { createPolicySource, type PolicyTypes, validatePolicyDocument } from '../policy/index.ts'
import { createTargetTypes } from '../targets/index.ts'
import { createBrokerClient } from './broker-client.ts'
import { CliError, type CliIo, EXIT, usage } from './io.ts'
import { mergePolicyFiles } from './policy-files.ts'

export type ExplainedPolicy = {
  readonly document: PolicyDocument
  readonly snapshot: PolicySnapshot
  readonly conditions: Conditions
}

type Where = {
  readonly policy?: readonly string[]
  readonly server?: string
  readonly issuer?: string
  readonly fetchKeys?: boolean
}

const DEFAULT_ISSUER = 'http://127.0.0.1:8787'

export async function readExplainedPolicy(
  where: Where,
  clock: Clock,
  io: CliIo,
): Promise<ExplainedPolicy> {
  const files = where.policy ?? []
  if (files.length > 0 === (where.server !== undefined)) {
    throw usage('say where the policy is: --policy FILE, or --server ORIGIN')
  }
  const issuer = where.issuer ?? io.env('SALLYPORT_ISSUER') ?? where.server ?? DEFAULT_ISSUER
  const types = policyTypes({ issuer, mayCall: where.fetchKeys === true, clock })
  const value = files.length > 0 ? await fromFiles(files, io) : await fromServer(where.server, io)
  const { document, errors } = await validatePolicyDocument(value, types, null)
  if (errors.length > 0) {
    const lines = errors.map(({ path, message }) => `${path}: ${message}`)
    throw new CliError(EXIT.usage, ['the policy has mistakes', ...lines].join('\n'), { errors })
  }
  const source = createPolicySource({
    store: {
      readSnapshot: () => Promise.resolve({ revision: 1, document }),
      readRevision: () => Promise.resolve(1),
    },
    types,
    clock,
    log: (_level, message) => io.err(message),
  })
  return { document, snapshot: await source.current(), conditions: types.conditions }
}

async function fromFiles(names: readonly string[], io: CliIo): Promise<JsonValue> {
  const files = await Promise.all(
    names.map(async (name) => ({ name, text: await io.readText(name) })),
  )
  const { document, mistakes } = mergePolicyFiles(files)
  if (mistakes.length === 0) return document
  throw usage(mistakes.map((one) => `${one.file}:${one.line}: ${one.message}`).join('\n'))
}

async function fromServer(server: string | undefined, io: CliIo): Promise<JsonValue> {
  const answer = await createBrokerClient(io, server).admin('GET', '/policy')
  return answer.body as JsonValue // parsed JSON
}

function policyTypes(rules: {
  readonly issuer: string
  readonly mayCall: boolean
  readonly clock: Clock
}): PolicyTypes {
  const { issuer, clock } = rules
  // Looking at a policy harms nobody, and a development broker is on loopback.
  const reach = { privateNetwork: false, loopback: true }
  const outbound = rules.mayCall ? createNodeOutbound() : noNetwork
  const secrets = (reference: string) =>
    Promise.resolve(fail({ reason: 'not_found' as const, reference }))
  return {
    authMethods: createAuthMethodTypes({
      keySets: createKeySets({ outbound, clock, reach }),
      clock,
      hashing: sha256Hashing,
      reach,
      ownIssuers: [issuer, `${issuer}/federation`],
      issuer,
      outbound,
      secrets,
      canTrustOwnCa: true,
    }),
    targets: createTargetTypes({
      outbound,
      reach,
      hashing: sha256Hashing,
      issuer,
      clock,
      // The deployment's own environment is not here: what a target leaves to it is not told.
      env: () => undefined,
      canAssumeByRole: true,
      ...nothingIssued,
    }),
    evaluators: createEvaluatorTypes({ outbound, reach, secrets, clock }),
    conditions: celConditions(),
    // The vault is the broker's: what is in it is not asked here.
    secretAllowedOrigins: () => Promise.resolve(ok('any')),
    issuer,
  }
}

const nothingIssued = {
  federation: { issuer: '', sign: () => Promise.reject(new Error('nothing is issued here')) },
  ids: { fresh: () => '' },
  sts: () => Promise.reject(new Error('nothing is issued here')),
  externalIds: { of: () => Promise.resolve(null) },
}

const noNetwork: Outbound = () => Promise.reject(new OutboundError('aborted'))
