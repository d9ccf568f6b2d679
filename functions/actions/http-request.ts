// `http.request` as another gateway states it: `{ method, url, headers?, body? }`, read by the
// rules of the target where it is configured, and by the strict ones where it is not.
import type { ActionType, StatedAction } from '../core/action-type.ts'
import { isJsonObject } from '../core/json.ts'
import type { JsonObject, JsonValue } from '../core/identity.ts'
import type { Action } from '../core/intent.ts'
import { fail, ok, type Result } from '../core/result.ts'
import { normaliseHttp, type RawHttpRequest } from './http.ts'
import { STRICT_PATH } from './http-path.ts'

export const httpRequest: ActionType = {
  name: 'http.request',
  async read(stated) {
    const raw = rawOf(stated.properties)
    if (raw === null) return fail('malformed_http_request')
    const isConfigured = stated.target?.policy.type === 'http'
    const action = await (isConfigured ? readAtTarget(raw, stated) : readAnywhere(raw, stated))
    return action.ok ? ok({ action: action.value, undetermined: [] }) : action
  },
}

/** A request whose URL is still whole. */
type Whole = Omit<RawHttpRequest, 'rawPath'> & { readonly origin: string; readonly path: string }

/** The text is cut, not parsed: a URL parser would repair what has to be refused. */
const URL_PARTS = /^(https?:\/\/[^/?#\\@\s]+)(\/[^?#]*)?(?:\?([^#]*))?$/

function rawOf({ method, url, headers, body }: JsonObject): Whole | null {
  const parts = typeof url === 'string' ? URL_PARTS.exec(url) : null
  const lines = headerLines(headers)
  const stream = bodyOf(body)
  if (typeof method !== 'string' || parts === null || lines === null || stream === undefined) {
    return null
  }
  const [, authority = '', path = '', rawQuery = ''] = parts
  if (!URL.canParse(authority)) return null
  const { origin } = new URL(authority)
  return { method, origin, path, rawQuery, headers: lines, body: stream }
}

/** `{ name: value | [values] }`; null when it is anything else. */
function headerLines(
  headers: JsonValue | undefined,
): readonly (readonly [string, string])[] | null {
  if (headers === undefined || headers === null) return []
  if (!isJsonObject(headers)) return null
  const lines: [string, string][] = []
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one !== 'string') return null
      lines.push([name, one])
    }
  }
  return lines
}

/** Text as it is, an object as JSON; undefined when it is neither. */
function bodyOf(body: JsonValue | undefined): ReadableStream<Uint8Array> | null | undefined {
  if (body === undefined || body === null || body === '') return null
  if (typeof body === 'number' || typeof body === 'boolean') return undefined
  return new Blob([typeof body === 'string' ? body : JSON.stringify(body)]).stream()
}

/** Below the base URL of the target, or it is no request to this target. */
async function readAtTarget(
  whole: Whole,
  { target }: StatedAction,
): Promise<Result<Action, string>> {
  const baseText = target?.policy.config['base_url']
  if (target === null || typeof baseText !== 'string' || !URL.canParse(baseText)) {
    return fail('target_unreadable')
  }
  const base = new URL(baseText)
  const prefix = base.pathname.replace(/\/$/, '')
  const isBelow = whole.path === prefix || whole.path.startsWith(`${prefix}/`)
  if (whole.origin !== base.origin || !isBelow) return fail('outside_target')
  const raw: RawHttpRequest = { ...whole, rawPath: whole.path.slice(prefix.length) }
  const normalised = await target.normalise(raw)
  return normalised.ok ? ok(normalised.value.action) : fail(normalised.failure.kind)
}

async function readAnywhere(
  whole: Whole,
  { resource }: StatedAction,
): Promise<Result<Action, string>> {
  const raw: RawHttpRequest = { ...whole, rawPath: whole.path }
  const normalised = await normaliseHttp(raw, {
    name: resource.id,
    labels: resource.labels,
    baseUrl: new URL(whole.origin),
    effects: [],
    path: STRICT_PATH,
    // Nobody said where GraphQL is spoken; by this name it is.
    graphqlPaths: /\/graphql\/?$/i.test(whole.path) ? [whole.path] : [],
  })
  if (!normalised.ok) return fail(normalised.failure.kind)
  return ok({ ...normalised.value.action, targetType: resource.type })
}
