// Asks STS who signed a request, and believes exactly one form of answer (AW-10, AW-11): the status, the
// type, the size and every member are checked, no redirect is followed, nothing is asked twice.
import type { AttestationFault } from '../core/auth-method.ts'
import type { JsonObject } from '../core/identity.ts'
import { isJsonObject } from '../core/json.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { askForJson, type JsonQuestion } from '../net/json-call.ts'
import type { Outbound, OutboundResponse } from '../net/outbound.ts'

/** As STS wrote them; what they mean is for the method to judge. */
export type CallerIdentity = {
  readonly account: string
  readonly arn: string
  readonly userId: string
}

export type CallerResult = Result<CallerIdentity, AttestationFault>

/** Query services of AWS say "slow down" with status 400 too. */
const THROTTLED: readonly string[] = ['Throttling', 'ThrottlingException', 'RequestLimitExceeded']

/** Answers that came, and that STS would not give; every other fault is of the connection. */
const FOREIGN: readonly string[] = ['redirect', 'encoded', 'too_large', 'not_json']

export async function askSts(
  question: Omit<JsonQuestion, 'statuses'>,
  outbound: Outbound,
): Promise<CallerResult> {
  let head: Pick<OutboundResponse, 'status' | 'headers'> = { status: 0, headers: [] }
  const noting: Outbound = async (request) => {
    const response = await outbound(request)
    head = response
    return response
  }
  const answer = await askForJson(noting, { ...question, statuses: [200, 400] })
  const { status } = head
  if (status === 429 || status >= 500) return unavailable(`status_${status}`)
  if (status === 400 && !(answer.ok && isThrottled(answer.value))) return refused(status)
  if (status === 400) return unavailable('throttled')
  if (status > 400) return refused(status)
  if (!answer.ok) {
    const { rule } = answer.failure
    return FOREIGN.includes(rule) || status > 200 ? foreign(rule) : unavailable(rule)
  }
  return isJsonType(head) ? callerOf(answer.value) : foreign('content_type')
}

/** No verdict on the caller: the exchange answers 503. */
function unavailable(got: string): CallerResult {
  return fail({ reason: 'verifier_unavailable', claim: 'sts', got })
}

/** An answer that STS would not give: somebody else gave it, or it is not understood. */
function foreign(got: string): CallerResult {
  return fail({ reason: 'verifier_error', claim: 'sts', got })
}

/** STS says so where the signature, the credentials or the time do not hold. */
function refused(status: number): CallerResult {
  return fail({ reason: 'bad_signature', claim: 'sts', got: `status_${status}` })
}

/** The type that was asked for, and one of it. */
function isJsonType({ headers }: Pick<OutboundResponse, 'headers'>): boolean {
  const types = headers.filter(([name]) => name === 'content-type')
  const media = types[0]?.[1].split(';')[0]?.trim().toLowerCase()
  return types.length === 1 && media === 'application/json'
}

function isThrottled(document: JsonObject): boolean {
  const error = document['Error']
  const code = isJsonObject(error) ? error['Code'] : undefined
  return typeof code === 'string' && THROTTLED.includes(code)
}

/** Exactly the members of a GetCallerIdentityResponse: one result, three texts. */
function callerOf(document: JsonObject): CallerResult {
  const response = onlyMembers(document, ['GetCallerIdentityResponse'])
  const members = onlyMembers(response?.['GetCallerIdentityResponse'], [
    'GetCallerIdentityResult',
    'ResponseMetadata',
  ])
  const result = onlyMembers(members?.['GetCallerIdentityResult'], ['Account', 'Arn', 'UserId'])
  const { Account: account, Arn: arn, UserId: userId } = result ?? {}
  if (typeof account !== 'string' || typeof arn !== 'string' || typeof userId !== 'string') {
    return foreign('shape')
  }
  return ok({ account, arn, userId })
}

function onlyMembers(
  value: JsonObject[string] | undefined,
  names: readonly string[],
): JsonObject | null {
  if (!isJsonObject(value)) return null
  return Object.keys(value).every((name) => names.includes(name)) ? value : null
}
