// Cursors of lists: the last key of the page before, opaque to callers. A cursor that nobody issued
// reads as the beginning; it selects a place in a list the caller may read anyway.
export function encodeCursor(key: string | number): string {
  const bytes = new TextEncoder().encode(JSON.stringify(key))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

export function decodeTextCursor(cursor: string | null): string | null {
  const key = decode(cursor)
  return typeof key === 'string' ? key : null
}

export function decodeSeqCursor(cursor: string | null): number | null {
  const key = decode(cursor)
  return Number.isSafeInteger(key) ? Number(key) : null
}

function decode(cursor: string | null): unknown {
  if (cursor === null) return null
  try {
    const binary = atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null
  }
}

/** The page of `limit` items out of `limit + 1` that were read. */
export function toPage<Read, Item>(
  read: readonly Read[],
  limit: number,
  item: (one: Read) => Item,
  key: (one: Read) => string | number,
): { readonly items: readonly Item[]; readonly nextCursor: string | null } {
  const shown = read.slice(0, limit)
  const last = shown.at(-1)
  const more = read.length > limit && last !== undefined
  return { items: shown.map(item), nextCursor: more ? encodeCursor(key(last)) : null }
}
