// How each runtime's bundle is made. The build and the runtime tests share it, so that what is tested is
// made exactly like what is shipped.
import { chmodSync, readdirSync, rmSync, statSync } from 'node:fs'
import { parse, resolve } from 'node:path'
import { build } from 'esbuild'
import type { BuildOptions, Metafile } from 'esbuild'

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
function splitInto(entry: string, outfile: string) {
  const { dir, name, ext } = parse(outfile)
  return {
    splitting: true,
    entryPoints: [{ in: entry, out: name }],
    outdir: dir,
    outExtension: { '.js': ext },
    chunkNames: 'parts/[name]-[hash]',
  } satisfies BuildOptions
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
  const { metafile } = await build({
    ...processBundle,
    ...splitInto(entry, outfile),
    banner: { js: REQUIRE_BANNER },
    minify: true,
    metafile: true,
  })
  removeAllBut(metafile, parse(outfile).dir)
}

/**
 * The Worker and the parts that it loads on demand, as modules that wrangler uploads as they are
 * (wrangler.jsonc): a part is parsed when it is first needed, and no cold start waits for it.
 */
export async function bundleWorker(entry: string, outfile: string): Promise<void> {
  const { metafile } = await build({
    bundle: true,
    platform: 'browser',
    // What wrangler itself would resolve by.
    conditions: ['workerd', 'worker', 'browser'],
    format: 'esm',
    target: 'es2024',
    // Every module of `node:` that is used is workerd's own (`nodejs_compat`).
    external: ['node:*', 'cloudflare:*'],
    legalComments: 'none',
    logLevel: 'warning',
    minify: true,
    metafile: true,
    ...splitInto(entry, outfile),
  })
  removeAllBut(metafile, parse(outfile).dir)
}

/** Whatever is in the folder is uploaded: what an older build left must not be. */
function removeAllBut({ outputs }: Metafile, directory: string): void {
  const made = new Set(Object.keys(outputs).map((file) => resolve(file)))
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = resolve(directory, file)
    if (statSync(path).isFile() && !made.has(path)) rmSync(path)
  }
}

export const OFFLINE_WRANGLER = {
  WRANGLER_SEND_METRICS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  CI: 'true',
}
