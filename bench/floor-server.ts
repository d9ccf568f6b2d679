// What an exchange cannot do without, and nothing else, with the same libraries: the floor that the
// broker's figures stand beside. Also a route that does nothing, on the broker's own Node server.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { Hono } from 'hono'
import { DatabaseSync } from 'node:sqlite'
import { createNodeServer } from '../functions/platforms/node-server.ts'
import { ES256 } from '../functions/crypto/signing-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-floor-'))
const insert = openStore(join(folder, 'floor.db'))
// The public key of the benchmark's issuer, as bench/world.ts hands it over.
const jwk = JSON.parse(process.env['FLOOR_ISSUER_JWK'] ?? '{}') as { kty: string }
const issuerKey = await crypto.subtle.importKey('jwk', jwk, ES256, false, ['verify'])
const { privateKey } = await crypto.subtle.generateKey(ES256, false, ['sign', 'verify'])

/** Verify a JWT, sign one, one durable insert. No rule is looked at, nothing is recorded but a row. */
async function floor(token: string): Promise<string> {
  const end = token.lastIndexOf('.')
  const signed = Buffer.from(token.slice(0, end))
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  if (!(await crypto.subtle.verify(ES256, issuerKey, signature, signed))) throw new Error('refused')
  const payload = token.slice(token.indexOf('.') + 1, end)
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: string }
  const body = Buffer.from(JSON.stringify({ ...claims, iss: 'floor' })).toString('base64url')
  const input = `eyJhbGciOiJFUzI1NiJ9.${body}`
  const made = await crypto.subtle.sign(ES256, privateKey, Buffer.from(input))
  const handle = `${input}.${Buffer.from(made).toString('base64url')}`
  await insert(claims.sub, handle)
  return handle
}

/** One libSQL file as the broker opens it; the inserts of one turn share a transaction and an fsync. */
function openStore(path: string): (subject: string, handle: string) => Promise<void> {
  const connection = new DatabaseSync(path)
  connection.exec('PRAGMA journal_mode = WAL')
  connection.exec('PRAGMA synchronous = FULL')
  connection.exec('CREATE TABLE floor (id INTEGER PRIMARY KEY, subject TEXT, handle TEXT)')
  const statement = connection.prepare('INSERT INTO floor (subject, handle) VALUES (?, ?)')
  let waiting: { row: readonly [string, string]; done: () => void }[] = []
  const commit = (): void => {
    const group = waiting
    waiting = []
    connection.exec('BEGIN IMMEDIATE')
    for (const { row } of group) statement.run(...row)
    connection.exec('COMMIT')
    for (const { done } of group) done()
  }
  return (subject, handle) =>
    new Promise((done) => {
      if (waiting.length === 0) setImmediate(commit)
      waiting.push({ row: [subject, handle], done })
    })
}

/** The floor without HTTP: `concurrency` of them at a time, for so long. */
async function bare(tokens: readonly string[], concurrency: number, seconds: number) {
  const latenciesMs: number[] = []
  const started = performance.now()
  const endsAt = started + seconds * 1000
  let next = 0
  const lane = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      const token = tokens[next++ % tokens.length] ?? ''
      const began = performance.now()
      await floor(token)
      latenciesMs.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  return { seconds: (performance.now() - started) / 1000, latenciesMs, refusal: null }
}

const app = new Hono()
app.get('/hello', (c) => c.json({ hello: 'world' }))
app.post('/floor', async (c) => {
  const form = new URLSearchParams(await c.req.text())
  const handle = await floor(form.get('subject_token') ?? '')
  return c.json({ access_token: handle, token_type: 'Bearer' })
})

const { server } = createNodeServer(
  async (request) => app.fetch(request),
  (level, message, facts) => console.error(level, message, facts),
)
server.listen(0, '127.0.0.1', () => {
  // A listening TCP server has an AddressInfo.
  process.send?.({ port: (server.address() as AddressInfo).port })
})

type BareOrder = { tokens: readonly string[]; concurrency: number; seconds: number }

process.on('message', ({ tokens, concurrency, seconds }: BareOrder) => {
  void bare(tokens, concurrency, seconds).then((result) => process.send?.(result))
})
process.once('disconnect', () => {
  rmSync(folder, { recursive: true, force: true })
  process.exit(0)
})
