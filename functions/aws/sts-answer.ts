// What STS hands over, believed member by member. Either adapter's reading of an answer comes through here.
import { Secret } from '../core/credential.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AssumedRole, AwsFault } from './contract.ts'
import { foreign } from './fault.ts'
import type { QueryAnswer } from './signed-call.ts'
import { child, childText } from './xml-document.ts'

/** As an adapter read it; whatever was not there is undefined. */
export type UntrustedAssumedRole = {
  readonly accessKeyId: string | undefined
  readonly secretAccessKey: string | undefined
  readonly sessionToken: string | undefined
  readonly expiresAtMs: number
  readonly arn: string | undefined
  readonly assumedRoleId: string | undefined
  readonly sourceIdentity: string | undefined
  readonly requestId: string | null
}

/** AWS makes no promise of its length (SC-04); a header of 32 KiB is beyond what any service takes. */
const MAX_TOKEN = 32_768

const FORMS = {
  accessKeyId: /^\w{16,128}$/,
  secretAccessKey: /^[A-Za-z0-9+/=]{16,256}$/,
  arn: /^arn:[a-z-]{3,20}:sts::\d{12}:assumed-role\/[\w+=,.@-]{1,64}\/[\w+=,.@-]{2,64}$/,
  assumedRoleId: /^\w{1,128}:[\w+=,.@-]{2,64}$/,
  sourceIdentity: /^[\w+=,.@-]{2,64}$/,
} as const

const SESSION_TOKEN = /^[A-Za-z0-9+/=_.-]+$/

export function assumedRole(raw: UntrustedAssumedRole): Result<AssumedRole, AwsFault> {
  const { accessKeyId, secretAccessKey, sessionToken, arn, assumedRoleId, sourceIdentity } = raw
  const isSound =
    is(FORMS.accessKeyId, accessKeyId) &&
    is(FORMS.secretAccessKey, secretAccessKey) &&
    is(SESSION_TOKEN, sessionToken) &&
    is(FORMS.arn, arn) &&
    is(FORMS.assumedRoleId, assumedRoleId)
  if (!isSound || sessionToken.length > MAX_TOKEN) return fail(foreign('shape', 200))
  if (sourceIdentity !== undefined && !is(FORMS.sourceIdentity, sourceIdentity)) {
    return fail(foreign('shape', 200))
  }
  if (!Number.isSafeInteger(raw.expiresAtMs) || raw.expiresAtMs <= 0) {
    return fail(foreign('expiration', 200))
  }
  return ok({
    keys: {
      accessKeyId,
      secretAccessKey: new Secret(secretAccessKey, null),
      sessionToken: new Secret(sessionToken, null),
    },
    expiresAt: Math.floor(raw.expiresAtMs / 1000),
    arn,
    assumedRoleId,
    sourceIdentity: sourceIdentity ?? null,
    requestId: raw.requestId,
  })
}

function is(form: RegExp, text: string | undefined): text is string {
  return text !== undefined && form.test(text)
}

/** From the answer itself. Members that are not read here may be new. */
export function readAssumedRole({ result, requestId }: QueryAnswer): Result<AssumedRole, AwsFault> {
  const credentials = child(result, 'Credentials')
  const user = child(result, 'AssumedRoleUser')
  return assumedRole({
    accessKeyId: childText(credentials, 'AccessKeyId'),
    secretAccessKey: childText(credentials, 'SecretAccessKey'),
    sessionToken: childText(credentials, 'SessionToken'),
    expiresAtMs: timeOf(childText(credentials, 'Expiration')),
    arn: childText(user, 'Arn'),
    assumedRoleId: childText(user, 'AssumedRoleId'),
    sourceIdentity: childText(result, 'SourceIdentity'),
    requestId,
  })
}

function timeOf(text: string | undefined): number {
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z$/.test(text ?? '')
  return isTime && text !== undefined ? Date.parse(text) : Number.NaN
}
