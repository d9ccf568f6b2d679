// `sallyport secrets set|list|delete`. A value comes from a file or standard input, never from the command
// line, and nothing ever prints one.
import { createBrokerClient, membersOf } from './broker-client.ts'
import { type CliIo, usage } from './io.ts'
import { cell, table } from './table.ts'

type Shared = { readonly server?: string; readonly json?: boolean }

export async function setSecret(
  name: string,
  options: Shared & { readonly allowedOrigin: readonly string[]; readonly file: string },
  io: CliIo,
): Promise<void> {
  // Editors and `echo` end a file with a line break that is no part of the secret.
  const value = (await io.readText(options.file)).replace(/\r?\n$/, '')
  if (value === '') throw usage('there is no value: give it on standard input or with --file')
  const client = createBrokerClient(io, options.server)
  const { status, body } = await client.admin('PUT', `/secrets/${encodeURIComponent(name)}`, {
    value,
    allowed_origins: options.allowedOrigin,
  })
  if (options.json) io.out(JSON.stringify(body))
  else io.out(`${status === 201 ? 'created' : 'replaced'}: sealed:${name}`)
}

export async function listSecrets(options: Shared, io: CliIo): Promise<void> {
  const client = createBrokerClient(io, options.server)
  const items: unknown[] = []
  let cursor: unknown = null
  do {
    const query = typeof cursor === 'string' ? `?cursor=${encodeURIComponent(cursor)}` : ''
    const page = membersOf((await client.admin('GET', `/secrets${query}`)).body)
    if (Array.isArray(page['items'])) items.push(...page['items'])
    cursor = page['next_cursor']
  } while (typeof cursor === 'string')
  if (options.json) return io.out(JSON.stringify({ items }))
  const rows = items
    .map(membersOf)
    .map((secret) => [
      `sealed:${cell(secret['name'])}`,
      cell(secret['version']),
      cell(secret['updated_at']),
      Array.isArray(secret['allowed_origins']) ? secret['allowed_origins'].join(' ') : '',
    ])
  io.out(table(['reference', 'version', 'updated', 'sent only to'], rows))
}

export async function deleteSecret(name: string, options: Shared, io: CliIo): Promise<void> {
  const client = createBrokerClient(io, options.server)
  const { body } = await client.admin('DELETE', `/secrets/${encodeURIComponent(name)}`)
  io.out(options.json ? JSON.stringify(body) : `deleted: sealed:${name}`)
}
