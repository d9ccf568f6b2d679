// What `wrangler deploy` would upload, by the configuration as it stands in the repository.
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { OFFLINE_WRANGLER } from '../../scripts/bundles.ts'

test('wrangler uploads the built Worker with the parts that it loads on demand, and nothing else', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-deploy-'))
  try {
    const run = spawnSync('wrangler', ['deploy', '--dry-run', '--outdir', directory], {
      encoding: 'utf8',
      env: { ...process.env, ...OFFLINE_WRANGLER },
    })
    expect(run.stderr + run.stdout).toContain('Total Upload')
    expect(run.status).toBe(0)
    const uploaded = await readdir(directory, { recursive: true })
    const built = await readdir('dist/worker', { recursive: true })
    expect(uploaded.filter((file) => file.endsWith('.js')).sort()).toEqual(
      built.filter((file) => file.endsWith('.js')).sort(),
    )
    expect(uploaded.filter((file) => file.endsWith('.js')).length).toBeGreaterThan(5)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}, 60_000)
