// What stands behind `aws-secrets-manager:` and `aws-ssm:`: read once into a question that AWS can be asked.
// Anything that is not exactly of this grammar is a mistake with a name, told when a policy is saved.
import { fail, ok, type Result } from '../core/result.ts'
import { awsRegion } from '../aws/partitions.ts'
import type { AwsSecretQuestion } from '../aws/secrets-contract.ts'

export type AwsReference = {
  readonly question: AwsSecretQuestion
  /** Members to descend by into a JSON value; null: the whole value. */
  readonly path: readonly string[] | null
}

type Read = Result<AwsReference, string>

const ACCOUNT = '\\d{12}'
const SECRET_ARN = new RegExp(
  `^arn:([a-z-]+):secretsmanager:([a-z0-9-]+):${ACCOUNT}:secret:[\\w/+=.@-]{1,512}$`,
)
const SECRET_NAME = /^[\w/+=.@-]{1,512}$/
const STAGE = /^[\w+=.@:/-]{1,256}$/
const VERSION = /^[A-Za-z0-9-]{32,64}$/
const PARAMETER_ARN = new RegExp(
  `^arn:([a-z-]+):ssm:([a-z0-9-]+):${ACCOUNT}:parameter(/[\\w./-]{1,1011})$`,
)
/** Levels need the slash in front; without any it is optional. */
const PARAMETER_NAME = /^(?:\/[\w./-]{1,1010}|[\w.-]{1,1011})$/
/** A version is a number; a label never begins with a digit. */
const SELECTOR = /^(?:[1-9]\d{0,9}|[A-Za-z_.-][\w.-]{0,99})$/
const MAX_DEPTH = 16

/** `{name or ARN}[?stage=LABEL | ?version=ID][#key]` */
export function readSecretReference(text: string, defaultRegion: string | null): Read {
  const { head, key } = splitKey(text)
  const [id = '', ...queries] = head.split('?')
  const version = readVersion(queries)
  if (!version.ok) return version
  const region = regionOf(id, SECRET_ARN, defaultRegion)
  if (!region.ok) return region
  if (!id.startsWith('arn:') && !SECRET_NAME.test(id)) {
    return fail('must name a secret: letters, digits and /_+=.@- only')
  }
  const question = {
    service: 'secretsmanager',
    region: region.value,
    id,
    ...version.value,
  } as const
  return withPath(question, key)
}

/** `{name or ARN}[:version or label][#key]` */
export function readParameterReference(text: string, defaultRegion: string | null): Read {
  const { head, key } = splitKey(text)
  const { id, selector } = splitSelector(head)
  if (selector !== null && !SELECTOR.test(selector)) {
    return fail('must give a version such as :3, or a label, behind the last colon')
  }
  const region = regionOf(id, PARAMETER_ARN, defaultRegion)
  if (!region.ok) return region
  if (!id.startsWith('arn:') && !PARAMETER_NAME.test(id)) {
    return fail('must name a parameter: letters, digits and _.- in levels, as in /path/name')
  }
  // What is there is public, or a way around the other scheme.
  if (/(?:^|:parameter)\/+aws\//i.test(id)) return fail('must not lie below /aws/')
  return withPath({ service: 'ssm', region: region.value, name: head }, key)
}

function splitKey(text: string): { readonly head: string; readonly key: string | null } {
  const hash = text.indexOf('#')
  return hash < 0
    ? { head: text, key: null }
    : { head: text.slice(0, hash), key: text.slice(hash + 1) }
}

/** The ARN has five colons of its own. */
function splitSelector(head: string): { readonly id: string; readonly selector: string | null } {
  const parts = head.split(':')
  const own = head.startsWith('arn:') ? 6 : 1
  if (parts.length <= own) return { id: head, selector: null }
  return { id: parts.slice(0, own).join(':'), selector: parts.slice(own).join(':') }
}

type Version = { readonly stage?: string; readonly version?: string }

function readVersion(queries: readonly string[]): Result<Version, string> {
  const [query, ...more] = queries
  if (query === undefined) return ok({})
  const [, name, value = ''] = /^(stage|version)=(.*)$/.exec(query) ?? []
  if (more.length > 0 || name === undefined) {
    return fail('must have one of ?stage=LABEL and ?version=ID, once')
  }
  if (name === 'stage') {
    return STAGE.test(value) ? ok({ stage: value }) : fail('must give a label behind ?stage=')
  }
  return VERSION.test(value)
    ? ok({ version: value })
    : fail('must give an id of 32 to 64 characters behind ?version=')
}

function regionOf(id: string, arn: RegExp, defaultRegion: string | null): Result<string, string> {
  if (!id.startsWith('arn:')) {
    if (defaultRegion === null) return fail('must be an ARN where AWS_REGION is not set')
    return ok(defaultRegion)
  }
  const [, partition, name = ''] = arn.exec(id) ?? []
  if (partition === undefined) return fail('must be a whole ARN of the service')
  if (awsRegion(name)?.partition !== partition) return fail(`must be in a region of ${partition}`)
  return ok(name)
}

function withPath(question: AwsSecretQuestion, key: string | null): Read {
  if (key === null) return ok({ question, path: null })
  const path = readKey(key)
  return path === null
    ? fail('must name a member behind #, as in #password or #/db/password')
    : ok({ question, path })
}

/** A plain member, or a JSON pointer (RFC 6901 §6: percent-encoded where the reference cannot hold it). */
function readKey(key: string): readonly string[] | null {
  let text: string
  try {
    text = decodeURIComponent(key)
  } catch {
    return null
  }
  if (!text.startsWith('/')) return text === '' ? null : [text]
  const members = text.slice(1).split('/')
  if (members.length > MAX_DEPTH || members.some((member) => /~(?![01])/.test(member))) return null
  return members.map((member) => member.replaceAll('~1', '/').replaceAll('~0', '~'))
}
