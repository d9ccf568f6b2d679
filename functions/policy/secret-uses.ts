// Where a policy object has a secret sent: one table, read when an object is saved and when the origins
// of a secret are narrowed. A secret whose destination cannot be told is never accepted.
import type { JsonValue } from '../core/identity.ts'
import type { PolicyDocument, PolicyKind } from '../core/policy.ts'
import type { PolicyObject } from '../store/contract.ts'
import { pointer } from './pointer.ts'

type Path = readonly string[]

/**
 * `urls`: the members that may name where the secret at `secret` goes; each that is present counts. `here`:
 * it goes nowhere, and is compared with what comes in. Then it has to be one for the broker's own origin, or
 * whoever writes the object could use the broker to try out somebody else's.
 */
type Row = {
  readonly kind: PolicyKind
  readonly secret: Path
  readonly urls: readonly Path[] | 'here'
}

const ROWS: readonly Row[] = [
  {
    kind: 'targets',
    secret: ['credential', 'secret'],
    urls: [
      ['config', 'base_url'],
      ['config', 'url'],
    ],
  },
  {
    kind: 'auth_methods',
    secret: ['config', 'secret'],
    urls: [
      ['config', 'introspection_endpoint'],
      ['config', 'userinfo_endpoint'],
    ],
  },
  {
    kind: 'auth_methods',
    secret: ['config', 'token_review', 'secret'],
    urls: [['config', 'token_review', 'url']],
  },
  {
    kind: 'auth_methods',
    secret: ['config', 'security_events', 'authorization', 'secret'],
    urls: 'here',
  },
  { kind: 'intent_policies', secret: ['judge', 'secret'], urls: [['judge', 'url']] },
  { kind: 'intent_policies', secret: ['floor', 'secret'], urls: [['floor', 'url']] },
]

export type SecretUse = {
  readonly reference: string
  /** Pointer to the reference, below the object. */
  readonly path: string
  /** Empty when the destination cannot be told: the use is refused. */
  readonly origins: readonly string[]
}

export function secretUses(kind: PolicyKind, object: PolicyObject, issuer: string): SecretUse[] {
  return ROWS.filter((row) => row.kind === kind).flatMap((row) => {
    const reference = at(object, row.secret)
    if (typeof reference !== 'string') return []
    const urls =
      row.urls === 'here'
        ? [issuer]
        : row.urls.map((path) => at(object, path)).filter((url) => url !== undefined)
    const origins = urls.map(originOf)
    return [
      {
        reference,
        path: pointer(...row.secret),
        origins: origins.every((origin) => origin !== null) ? origins : [],
      },
    ]
  })
}

/** Everything in the policy that has `reference` sent somewhere. */
export function usersOf(
  reference: string,
  document: Omit<PolicyDocument, 'bindings'>,
  issuer: string,
): { readonly kind: PolicyKind; readonly name: string; readonly origins: readonly string[] }[] {
  const kinds = ['auth_methods', 'targets', 'intent_policies'] as const
  return kinds.flatMap((kind) =>
    document[kind].flatMap((object) =>
      secretUses(kind, object, issuer)
        .filter((use) => use.reference === reference)
        .map((use) => ({ kind, name: object.name, origins: use.origins })),
    ),
  )
}

/** Origins that a target reaches. */
export function targetOrigins(target: { readonly config: JsonValue }): string[] {
  return ['base_url', 'url']
    .map((member) => originOf(at(target, ['config', member])))
    .filter((origin) => origin !== null)
}

/** The origin of an http(s) URL; null for whatever has none. */
export function originOf(url: unknown): string | null {
  if (typeof url !== 'string' || !URL.canParse(url)) return null
  const { protocol, origin } = new URL(url)
  return protocol === 'https:' || protocol === 'http:' ? origin : null
}

function at(object: object, path: Path): unknown {
  let here: unknown = object
  for (const member of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, member)) return undefined
    here = (here as Record<string, unknown>)[member]
  }
  return here
}
