// What the target types `id-jag` and `txn-token` share: tokens that the federation keys sign for a downstream,
// planned from what is granted. Nothing is sent anywhere: the answer of the exchange is the delivery.
import type { Failure } from '../core/failure.ts'
import type { JsonObject } from '../core/identity.ts'
import type { Action } from '../core/intent.ts'
import type { MintFacts, Minting, MintPlan } from '../core/minting.ts'
import type { DocumentError, TargetPolicy } from '../core/policy.ts'
import {
  type FederationSigner,
  type FederationTyp,
  type Hashing,
  type Ids,
  MAX_FEDERATION_SECONDS,
} from '../core/ports.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { CompiledTarget, TargetType } from '../core/target.ts'
import type { Reach } from '../net/outbound.ts'
import { ConfigReader, type Mistake } from '../policy/config-reader.ts'
import { pointer } from '../policy/pointer.ts'
import {
  carriesAll,
  type DownstreamScopes,
  effectsOf,
  grantedWords,
  readScopes,
  unknownWords,
} from './downstream-scopes.ts'

export type IssuedTokenDeps = {
  readonly federation: FederationSigner
  readonly ids: Pick<Ids, 'fresh'>
  readonly hashing: Hashing
  readonly reach: Reach
  /** The broker's own. */
  readonly issuer: string
}

/** What one of the types adds. */
export type IssuedTokenKind<Extra> = Pick<TargetType, 'type' | 'needsUser'> & {
  readonly action: Extract<Action['name'], 'id_jag.issue' | 'txn_token.issue'>
  readonly tokenType: string
  readonly typ: FederationTyp
  readonly defaultSeconds: number
  readonly members: readonly string[]
  /** All of the scope that was asked for, or nothing; else it is narrowed, as everywhere. */
  readonly isExact: boolean
  audienceMistake(audience: string, deps: IssuedTokenDeps): Mistake | null
  read(reader: ConfigReader, deps: IssuedTokenDeps): Extra
  /** What its target may be named by, besides its audience. */
  knownAs(settings: Extra): readonly string[]
  /** The claims that are its own. */
  claims(
    facts: MintFacts,
    settings: Extra,
    deps: IssuedTokenDeps,
  ): Result<JsonObject, Extract<Failure, { kind: 'mint_refused' | 'malformed_request' }>>
}

type Settings<Extra> = {
  readonly audience: string
  readonly scopes: DownstreamScopes
  readonly maxSeconds: number
  readonly extra: Extra
}

type Prepared = { readonly claims: JsonObject; readonly record: JsonObject }

export function createIssuedTokenTarget<Extra>(
  kind: IssuedTokenKind<Extra>,
  deps: IssuedTokenDeps,
): TargetType {
  return {
    type: kind.type,
    delivery: 'credential',
    ...(kind.needsUser === undefined ? {} : { needsUser: kind.needsUser }),
    grantMistakes(grants, target) {
      const { scopes } = readSettings(new ConfigReader(target.config), kind, deps)
      return unknownWords(grants, scopes)
    },
    validate(target) {
      const reader = new ConfigReader(target.config)
      readSettings(reader, kind, deps)
      return [...reader.errors, ...unusedMembers(target)]
    },
    compile(target): CompiledTarget {
      const settings = readSettings(new ConfigReader(target.config), kind, deps)
      const minting: Minting = {
        tokenType: kind.tokenType,
        knownAs: [settings.audience, ...kind.knownAs(settings.extra)],
        plan: async (facts) => plan(facts, { target, kind, settings, deps }),
        mint: (planned) => mint(planned, kind.typ, deps),
      }
      // It is asked for at the exchange, and has no place below /t/.
      const nothing = async () => fail<Failure>({ kind: 'not_found' })
      return { policy: target, minting, normalise: nothing, fingerprint: nothing, call: nothing }
    },
  }
}

function readSettings<Extra>(
  reader: ConfigReader,
  kind: IssuedTokenKind<Extra>,
  deps: IssuedTokenDeps,
): Settings<Extra> {
  reader.allowOnly(['audience', 'scopes', 'max_lifetime_seconds', ...kind.members])
  return {
    audience: reader.requiredText(
      'audience',
      (audience) => reservedAudience(audience, deps) ?? kind.audienceMistake(audience, deps),
    ),
    scopes: readScopes(reader),
    maxSeconds: reader.wholeNumber('max_lifetime_seconds', {
      min: 1,
      max: MAX_FEDERATION_SECONDS,
      absent: kind.defaultSeconds,
    }),
    extra: kind.read(reader, deps),
  }
}

/** Clouds that would take any token of the federation issuer: they look at no `typ`. */
const CLOUDS = /(^|[./])(amazonaws\.(com(\.cn)?|eu)|googleapis\.com)([/:]|$)|^api:/i

/** A token for somebody else must be worth nothing here, nor at a cloud that trusts the same issuer. */
function reservedAudience(audience: string, { issuer }: IssuedTokenDeps): Mistake | null {
  const isOwn = URL.canParse(audience) && new URL(audience).host === new URL(issuer).host
  return isOwn || CLOUDS.test(audience)
    ? { code: 'unsafe', message: 'must be neither this broker nor a cloud' }
    : null
}

const UNUSED = ['credential', 'mask', 'max_response_bytes', 'max_masked_bytes', 'private_network']

/** What would look like a restriction and is without effect. */
function unusedMembers(target: TargetPolicy): DocumentError[] {
  return UNUSED.filter((member) => Object.hasOwn(target, member)).map((member) => ({
    path: pointer(member),
    code: 'unexpected',
    message: 'means nothing where a token is issued',
  }))
}

type Site<Extra> = {
  readonly target: TargetPolicy
  readonly kind: IssuedTokenKind<Extra>
  readonly settings: Settings<Extra>
  readonly deps: IssuedTokenDeps
}

function plan<Extra>(facts: MintFacts, site: Site<Extra>): Result<MintPlan, Failure> {
  const { target, kind, settings } = site
  const { audience, scopes } = settings
  const words = grantedWords(scopes, facts)
  if (words.length === 0 || (kind.isExact && !carriesAll(scopes, words, facts.scope))) {
    return fail({ kind: 'invalid_scope', reason: 'nothing_left', target: target.name })
  }
  const own = kind.claims(facts, settings.extra, site.deps)
  if (!own.ok) return own
  const endsAt = Math.min(facts.now + settings.maxSeconds, facts.endsAt)
  const scope = words.join(' ')
  const claims = { ...own.value, aud: audience, scope, iat: facts.now, exp: endsAt }
  const record = { audience, scope }
  const prepared: Prepared = { claims, record }
  return ok({
    action: {
      name: kind.action,
      target: target.name,
      targetType: target.type,
      targetLabels: target.labels ?? [],
      effects: effectsOf(scopes, words),
      objects: words,
      destinations: [URL.canParse(audience) ? new URL(audience).host : audience],
      properties: { audience, scope },
      record: { name: kind.action, target: target.name, ...record },
    },
    endsAt,
    prepared,
  })
}

async function mint(
  { prepared, endsAt }: MintPlan,
  typ: FederationTyp,
  { federation, ids }: IssuedTokenDeps,
): Promise<Awaited<ReturnType<Minting['mint']>>> {
  // What `plan` of the same target made.
  const { claims, record } = prepared as Prepared
  const jti = ids.fresh('jti')
  const token = await federation.sign({ ...claims, jti }, typ)
  return ok({ token, expiresAt: endsAt, members: {}, document: null, record: { jti, ...record } })
}
