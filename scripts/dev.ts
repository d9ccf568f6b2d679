// `npm run dev`: the Worker in workerd with a local D1 database. Settings that a deployment must have are
// made once into `.dev.vars`, which is never committed.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { OFFLINE_WRANGLER } from './bundles.ts'

const PORT = process.env.PORT ?? '8787'

if (!existsSync('.dev.vars')) {
  const lines = [
    `SALLYPORT_ISSUER=http://127.0.0.1:${PORT}`,
    `SALLYPORT_KEK=${randomBytes(32).toString('base64url')}`,
    `SALLYPORT_ADMIN_TOKEN=${randomBytes(32).toString('base64url')}`,
    'SALLYPORT_ALLOW_INSECURE_LOOPBACK=1',
  ]
  writeFileSync('.dev.vars', `${lines.join('\n')}\n`, { mode: 0o600, flag: 'wx' })
}

const args = ['dev', '--ip', '127.0.0.1', '--port', PORT, ...process.argv.slice(2)]
const child = spawn('wrangler', args, {
  stdio: 'inherit',
  env: { ...process.env, ...OFFLINE_WRANGLER },
})
child.on('exit', (code) => process.exit(code ?? 1))
