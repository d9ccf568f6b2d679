// A target that hands over credentials, as the gateway serves it: `GET /t/{target}/credentials` with a handle
// is one action, planned when it is normalised and minted once it is recorded.
import { createHash } from 'node:crypto'
import type { RawHttpRequest } from '../actions/http.ts'
import type { Failure } from '../core/failure.ts'
import { mintOnce, planOf } from '../core/mint-facts.ts'
import type { Minted, Minting, MintPlan } from '../core/minting.ts'
import type { TargetPolicy } from '../core/policy.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { CallInput, CompiledTarget, NormaliseContext, Normalised } from '../core/target.ts'
import type { HttpAnswer } from './http-answer.ts'

/** The one path of such a target. */
export const CREDENTIALS_PATH = '/credentials'

type Compiled = CompiledTarget<RawHttpRequest, MintPlan, HttpAnswer>

export function credentialTarget(policy: TargetPolicy, minting: Minting): Compiled {
  return {
    policy,
    minting,
    normalise: (raw, context) => normalise(minting, raw, context),
    // Everything that is asked for is in the action.
    fingerprint: async () => ok(sha256Hex('')),
    call: (input) => call(minting, input),
  }
}

async function normalise(
  minting: Minting,
  { method, rawPath, rawQuery }: RawHttpRequest,
  context: NormaliseContext | undefined,
): Promise<Result<Normalised<MintPlan>, Failure>> {
  if (rawPath !== CREDENTIALS_PATH || context === undefined) return fail({ kind: 'not_found' })
  if (method !== 'GET') return fail({ kind: 'method_not_allowed', allow: ['GET'] })
  // What it is for was declared when the session opened, and is not changed by who asks again.
  if (rawQuery !== '') return fail({ kind: 'malformed_request', reason: 'unexpected_query' })
  const plan = await planOf(minting, context.mintFacts())
  return plan.ok ? ok({ action: plan.value.action, prepared: plan.value }) : plan
}

const NO_CALL = { status: null, bytes: 0, rows: 0, reflected: false, masked: 0 } as const

async function call(
  minting: Minting,
  { prepared, settle }: CallInput<MintPlan>,
): Promise<Result<HttpAnswer, Failure>> {
  const minted = await mintOnce(minting, prepared)
  if (!minted.ok) {
    const { failure } = minted
    const reason = 'reason' in failure ? failure.reason : failure.kind
    await settle({ ...NO_CALL, result: 'upstream_error', reason })
    return minted
  }
  const { token, expiresAt, record, document } = minted.value
  const { target, effects } = prepared.action
  const credential = { sha256: sha256Hex(token), target, expiresAt, record, effects }
  const isRecorded = await settle({ ...NO_CALL, result: 'completed', credential })
  if (isRecorded) return ok(credentialAnswer(document))
  return fail({ kind: 'unavailable', reason: 'store', retryAfterSeconds: 2 })
}

export function credentialAnswer(document: Minted['document']): HttpAnswer {
  return {
    status: 200,
    headers: [
      ['content-type', 'application/json'],
      ['cache-control', 'no-store'],
      ['pragma', 'no-cache'],
    ],
    body: new Blob([JSON.stringify(document)]).stream(),
  }
}

function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
