// The AWS credentials that the deployment itself has, on Node and Lambda: by the SDK's default chain, which
// keeps them until shortly before they end. On demand, and never printed.
import { defaultProvider } from '@aws-sdk/credential-provider-node'
import { Secret } from '../core/credential.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsFault, AwsKeys, KeySource } from './contract.ts'

/** Metadata services answer at once, or nobody is there. */
const TIMEOUT_MS = 4_000

export function ambientKeys(): KeySource {
  // Its own requests go to metadata and container endpoints, which the guarded transport never reaches.
  const provide = defaultProvider({ timeout: 1_000, maxRetries: 1 })
  return async () => {
    const found = await beforeTimeout(provide().catch(() => null))
    if (found === 'timeout') return none('timeout')
    return found === null ? none('none') : ok(toKeys(found))
  }
}

type Provided = Awaited<ReturnType<ReturnType<typeof defaultProvider>>>

function toKeys({ accessKeyId, secretAccessKey, sessionToken }: Provided): AwsKeys {
  return {
    accessKeyId,
    secretAccessKey: new Secret(secretAccessKey, null),
    ...(sessionToken === undefined ? {} : { sessionToken: new Secret(sessionToken, null) }),
  }
}

/** The chain's own words may quote a profile or a response. */
function none(code: string): Result<never, AwsFault> {
  return fail({ kind: 'no_credentials', code, status: null })
}

async function beforeTimeout<T>(work: Promise<T>): Promise<T | 'timeout'> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), TIMEOUT_MS)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
