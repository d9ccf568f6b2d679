import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')

test('the quickstart does the main job end to end, whatever the shell has set, and ends with 0', async () => {
  const { stdout } = await promisify(execFile)(
    resolve(ROOT, 'node_modules/.bin/node'),
    ['functions/cli/quickstart.ts'],
    {
      cwd: ROOT,
      env: { ...process.env, DATABASE_URL: 'file:/nonexistent/x.db', SALLYPORT_KILL: '1' },
    },
  )
  for (const said of [
    'the agent never saw the key',
    'sent to the API itself, the handle is worth nothing',
    'envelope_exceeded',
    'each names the identity that was attested, and the intent that was declared',
    'neither the key nor a token is in it',
    'the next call is refused (401)',
  ]) {
    expect(stdout).toContain(said)
  }
  expect(stdout).not.toMatch(/crm_live_/)
})
