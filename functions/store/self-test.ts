// Whether a store keeps what it acknowledged: writes through one connection, reads through another, and
// sees that a batch that fails leaves nothing. Uses a table of its own, and removes it.
import type { Driver, Value } from './driver.ts'

export type StoreFault = 'not_visible' | 'not_atomic' | 'not_removed'

const CREATE =
  'CREATE TABLE IF NOT EXISTS sallyport_self_test (id TEXT PRIMARY KEY NOT NULL) STRICT'
const DROP = 'DROP TABLE IF EXISTS sallyport_self_test'
const INSERT = 'INSERT INTO sallyport_self_test (id) VALUES (?)'
const DELETE = 'DELETE FROM sallyport_self_test WHERE id = ?'
const COUNT = 'SELECT count(*) AS n FROM sallyport_self_test WHERE id = ?'

/** Null when the store behaves. Throws StoreUnavailable when it does not answer. */
export async function storeFault(
  writer: Driver,
  reader: Driver,
  probeId: string,
): Promise<StoreFault | null> {
  await writer.write([{ sql: CREATE, args: [] }])
  try {
    await writer.write([{ sql: INSERT, args: [probeId] }])
    if ((await countOf(reader, probeId)) !== 1) return 'not_visible'
    const torn = `${probeId}-torn`
    const failing = [
      { sql: INSERT, args: [torn] },
      { sql: INSERT, args: [probeId] },
    ]
    const isAccepted = await writer.write(failing).then(
      () => true,
      () => false,
    )
    if (isAccepted || (await countOf(reader, torn)) !== 0) return 'not_atomic'
    await writer.write([{ sql: DELETE, args: [probeId] }])
    return (await countOf(reader, probeId)) === 0 ? null : 'not_removed'
  } finally {
    await writer.write([{ sql: DROP, args: [] }])
  }
}

async function countOf(driver: Driver, id: string): Promise<Value | undefined> {
  const [rows] = await driver.read([{ sql: COUNT, args: [id] }])
  return rows?.[0]?.['n']
}
