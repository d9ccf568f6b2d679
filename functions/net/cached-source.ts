// What is held of each source of keys between requests, and how a source is told from every other.
import { canonicalJson } from '../core/audit.ts'
import type { Seconds } from '../core/ports.ts'
import type { Location } from './key-set-fetch.ts'
import type { LoadedKeys, LoadFault, RemoteKeySource } from './key-set-load.ts'

/** Isolates have 128 MiB; a full set of 100 large keys takes about a quarter of one. */
const MAX_SOURCES = 256

export type Held = LoadedKeys & { readonly fetchedAt: Seconds }
export type Refresh = { readonly done: Promise<void>; readonly startedAtMs: number }

export type CachedSource = {
  readonly source: RemoteKeySource
  held: Held | null
  location: { readonly value: Location; readonly foundAt: Seconds } | null
  inFlight: Refresh | null
  /** Of the refreshes within the cool-down. */
  startedAt: readonly Seconds[]
  askedForUnknownAt: Seconds | null
  /** Why the last refresh brought nothing; null after one that did. */
  lastFault: LoadFault | null
}

/** The entry of a source, made or moved to the young end; the oldest goes when there are too many. */
export function cachedSource(
  sources: Map<string, CachedSource>,
  source: RemoteKeySource,
): CachedSource {
  const name = sourceName(source)
  const cached: CachedSource = sources.get(name) ?? {
    source,
    held: null,
    location: null,
    inFlight: null,
    startedAt: [],
    askedForUnknownAt: null,
    lastFault: null,
  }
  sources.delete(name)
  sources.set(name, cached)
  if (sources.size <= MAX_SOURCES) return cached
  const [oldest] = sources.keys()
  if (oldest !== undefined) sources.delete(oldest)
  return cached
}

// A source belongs to a compiled method, and none of its members changes.
const names = new WeakMap<RemoteKeySource, string>()

/** JSON, not joined text: no issuer can be spelled so that it lands on another's keys (RB-04). */
function sourceName(source: RemoteKeySource): string {
  const name = names.get(source) ?? canonicalJson({ ...source })
  names.set(source, name)
  return name
}
