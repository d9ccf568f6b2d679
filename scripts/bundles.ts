// How each runtime's bundle is made. The build and the runtime tests share it, so that what is tested is
// made exactly like what is shipped.
import { spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { parse } from 'node:path'
import { build } from 'esbuild'
import type { BuildOptions } from 'esbuild'

/** CommonJS parts of a bundle call `require`, which an ES module does not have. */
const REQUIRE_BANNER =
  "import { createRequire as __createRequire } from 'node:module';const require = __createRequire(import.meta.url);"

const processBundle = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // The store is spoken to over HTTP; the WebSocket client that could be used instead is never opened.
  alias: { '@libsql/isomorphic-ws': './node_modules/@libsql/isomorphic-ws/web.mjs' },
  legalComments: 'none',
  logLevel: 'warning',
} as const satisfies BuildOptions

/** Parts that are imported on demand stay files of their own, and cost a cold start nothing. */
function splitInto(entry: string, outfile: string): BuildOptions {
  const { dir, name, ext } = parse(outfile)
  return {
    splitting: true,
    entryPoints: [{ in: entry, out: name }],
    outdir: dir,
    outExtension: { '.js': ext },
    chunkNames: 'parts/[name]-[hash]',
  }
}

export async function bundleNode(entry: string, outfile: string): Promise<void> {
  await build({
    ...processBundle,
    ...splitInto(entry, outfile),
    banner: { js: REQUIRE_BANNER },
    // Half the text compiles in half the time; names stay readable in stack traces.
    minifySyntax: true,
    minifyWhitespace: true,
  })
}

/** The entry's own `#!` line stays the first. */
export async function bundleCli(entry: string, outfile: string): Promise<void> {
  await bundleNode(entry, outfile)
  chmodSync(outfile, 0o755)
}

export async function bundleLambda(entry: string, outfile: string): Promise<void> {
  await build({
    ...processBundle,
    ...splitInto(entry, outfile),
    banner: { js: REQUIRE_BANNER },
    minify: true,
  })
}

/** Wrangler makes the Worker as `wrangler deploy` would; offline. */
export function bundleWorker(outdir: string): void {
  const run = spawnSync('wrangler', ['deploy', '--dry-run', '--minify', '--outdir', outdir], {
    encoding: 'utf8',
    env: { ...process.env, ...OFFLINE_WRANGLER },
  })
  if (run.status !== 0) throw new Error(`wrangler could not build the Worker:\n${run.stderr}`)
}

export const OFFLINE_WRANGLER = {
  WRANGLER_SEND_METRICS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  CI: 'true',
}
