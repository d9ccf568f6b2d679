// An account of AWS in memory: STS by web identity, and the inline policies of its roles. It believes every
// token; what it is for is who did what, in which order, and whom a role's policies deny.
import type { Outbound, OutboundRequest } from '../../functions/net/outbound.ts'

export type AwsAccount = {
  readonly outbound: Outbound
  /** Documents by `{role}/{policy name}`. */
  readonly policies: Map<string, string>
  /** `Action`, by whom: the access key of who signed, or the subject of the token. */
  readonly calls: { readonly action: string; readonly by: string; readonly region: string }[]
  readonly documents: string[]
  /** Answers instead: a status and AWS's code for that action. */
  readonly faults: Map<string, readonly [number, string]>
  /** Runs before an action is carried out. */
  before: (action: string) => Promise<void> | void
  /** Whether some policy of the role denies whatever a session with that tag does. */
  isDenied(role: string, sessionId: string): boolean
}

export function awsAccount(clock: { nowSeconds(): number }): AwsAccount {
  const keysOf = new Map<string, string>()
  const account: AwsAccount = {
    policies: new Map(),
    calls: [],
    documents: [],
    faults: new Map(),
    before: () => undefined,
    isDenied: (role, sessionId) =>
      [...account.policies]
        .filter(([place]) => place.startsWith(`${role}/`))
        .some(([, document]) => deniedBy(document, sessionId)),
    async outbound(request) {
      const form = new URLSearchParams(new TextDecoder().decode(request.body as Uint8Array))
      const action = form.get('Action') ?? ''
      account.calls.push({ action, ...signerOf(request, form, keysOf) })
      const fault = account.faults.get(action)
      if (fault !== undefined) return refusal(...fault)
      await account.before(action)
      if (action === 'AssumeRoleWithWebIdentity') return assumed(form, keysOf, clock.nowSeconds())
      return inlinePolicy(action, form, account)
    },
  }
  return account
}

function signerOf(request: OutboundRequest, form: URLSearchParams, keysOf: Map<string, string>) {
  const header = request.headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1]
  const [, key = '', region = ''] = /Credential=([^/]+)\/\d+\/([^/]+)\//.exec(header ?? '') ?? []
  const token = form.get('WebIdentityToken')
  return { by: token === null ? (keysOf.get(key) ?? '') : subjectOf(token), region }
}

function subjectOf(token: string): string {
  const [, payload = ''] = token.split('.')
  return String(JSON.parse(Buffer.from(payload, 'base64url').toString()).sub)
}

function assumed(form: URLSearchParams, keysOf: Map<string, string>, now: number) {
  const [account, role] =
    /::(\d+):role\/(?:.*\/)?([^/]+)$/.exec(form.get('RoleArn') ?? '')?.slice(1) ?? []
  const key = `ASIA${String(keysOf.size).padStart(16, '0')}`
  keysOf.set(key, role ?? '')
  const seconds = Number(form.get('DurationSeconds'))
  const expiration = new Date((now + seconds) * 1000).toISOString()
  const session = form.get('RoleSessionName') ?? ''
  return xml(
    200,
    `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
      <AccessKeyId>${key}</AccessKeyId><SecretAccessKey>${'s'.repeat(40)}</SecretAccessKey>
      <SessionToken>token${key}</SessionToken><Expiration>${expiration}</Expiration></Credentials>
      <AssumedRoleUser><Arn>arn:aws:sts::${account}:assumed-role/${role}/${session}</Arn>
      <AssumedRoleId>AROA:${session}</AssumedRoleId></AssumedRoleUser>
      </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
  )
}

/** Of all inline policies of a role together. */
const QUOTA = 10_240

function inlinePolicy(action: string, form: URLSearchParams, { policies, documents }: AwsAccount) {
  const role = form.get('RoleName')
  const place = `${role}/${form.get('PolicyName')}`
  const there = policies.get(place)
  if (action === 'PutRolePolicy') {
    const document = form.get('PolicyDocument') ?? ''
    const others = [...policies].filter(([one]) => one.startsWith(`${role}/`) && one !== place)
    const size = others.reduce((sum, [, text]) => sum + text.length, document.length)
    if (size > QUOTA) return refusal(409, 'LimitExceeded')
    policies.set(place, document)
    documents.push(document)
    return xml(200, `<PutRolePolicyResponse>${METADATA}</PutRolePolicyResponse>`)
  }
  if (there === undefined) return refusal(404, 'NoSuchEntity')
  if (action === 'DeleteRolePolicy') {
    policies.delete(place)
    return xml(200, `<DeleteRolePolicyResponse>${METADATA}</DeleteRolePolicyResponse>`)
  }
  return xml(
    200,
    `<GetRolePolicyResponse><GetRolePolicyResult><PolicyDocument>${encodeURIComponent(there)}</PolicyDocument>
      </GetRolePolicyResult>${METADATA}</GetRolePolicyResponse>`,
  )
}

const METADATA = '<ResponseMetadata><RequestId>c6104cbe-af31-11e0</RequestId></ResponseMetadata>'

function refusal(status: number, code: string) {
  return xml(
    status,
    `<ErrorResponse><Error><Code>${code}</Code><Message>no</Message></Error></ErrorResponse>`,
  )
}

function xml(status: number, text: string) {
  return { status, headers: [['content-type', 'text/xml']] as const, body: new Response(text).body }
}

type Statement = {
  readonly Effect: string
  readonly Action: string
  readonly Resource: string
  readonly Condition?: { readonly StringEquals: Readonly<Record<string, readonly string[]>> }
}

function deniedBy(document: string, sessionId: string): boolean {
  const { Statement: statements } = JSON.parse(document) as { Statement: readonly Statement[] }
  return statements.some(({ Effect, Action, Resource, Condition }) => {
    const sessions = Condition?.StringEquals['aws:PrincipalTag/sallyport_session']
    const isEverywhere = Effect === 'Deny' && Action === '*' && Resource === '*'
    return isEverywhere && (Condition === undefined || sessions?.includes(sessionId) === true)
  })
}
