// PolicyStore in memory: one revision, writes only on the revision they were planned on.
import type { EventDraft } from '../../functions/core/audit.ts'
import type { PolicyDocument, PolicyKind } from '../../functions/core/policy.ts'
import type {
  PolicyObject,
  PolicyStore,
  StoredPolicyObject,
} from '../../functions/store/contract.ts'

export type FakePolicyStore = PolicyStore & {
  revision: number
  killed: boolean
  readonly events: EventDraft[]
  reads: { revision: number; snapshot: number; document: number }
  /** Runs once, just before the next write looks at the revision: somebody else is quicker. */
  overtake: (() => void) | null
  set(kind: PolicyKind, object: PolicyObject): void
}

export function fakePolicyStore(document: Partial<PolicyDocument> = {}): FakePolicyStore {
  const kinds: Record<PolicyKind, Map<string, StoredPolicyObject>> = {
    auth_methods: new Map(),
    targets: new Map(),
    bindings: new Map(),
    intent_policies: new Map(),
  }
  const put = (kind: PolicyKind, object: PolicyObject) => {
    const createdAt = kinds[kind].get(object.name)?.createdAt ?? store.revision
    const stored = { object, etag: String(store.revision), createdAt, updatedAt: store.revision }
    kinds[kind].set(object.name, stored)
  }
  const read = () =>
    // Each map holds objects of its kind only.
    Object.fromEntries(
      Object.entries(kinds).map(([kind, map]) => [
        kind,
        [...map.values()].map(({ object }) => object).sort((a, b) => (a.name < b.name ? -1 : 1)),
      ]),
    ) as unknown as PolicyDocument
  const store: FakePolicyStore = {
    revision: 1,
    killed: false,
    events: [],
    reads: { revision: 0, snapshot: 0, document: 0 },
    overtake: null,
    set(kind, object) {
      store.revision++
      put(kind, object)
    },
    async readSnapshot() {
      store.reads.snapshot++
      const { bindings: _, ...rest } = read()
      return { revision: store.revision, document: rest }
    },
    async readDocument() {
      store.reads.document++
      return { revision: store.revision, document: read() }
    },
    async readRevision() {
      store.reads.revision++
      return store.revision
    },
    get: async (kind, name) => kinds[kind].get(name) ?? null,
    async list(kind, { cursor, limit }) {
      const names = [...kinds[kind].keys()]
        .sort()
        .filter((name) => cursor === null || name > cursor)
      const items = names.slice(0, limit).flatMap((name) => kinds[kind].get(name) ?? [])
      const last = items.at(-1)
      return { items, nextCursor: names.length > limit ? (last?.object.name ?? null) : null }
    },
    async write({ changes, expectedRevision, event }) {
      const overtake = store.overtake
      store.overtake = null
      overtake?.()
      if (store.revision !== expectedRevision) return null
      store.revision++
      for (const change of changes) {
        if (change.op === 'put') put(change.kind, change.object)
        else kinds[change.kind].delete(change.name)
      }
      store.events.push(event)
      return store.revision
    },
    async setKilled(killed, event) {
      store.killed = killed
      store.events.push(event)
      return ++store.revision
    },
  }
  for (const [kind, objects] of Object.entries(document))
    // The members of a document are its kinds.
    for (const object of objects as readonly PolicyObject[]) put(kind as PolicyKind, object)
  return store
}
