// What a built bundle weighs: the modules that its entry needs to start, and those it imports on demand.
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

/** In bytes; `gzip` is the sum over the files, each compressed by itself. */
export type Weight = { readonly bytes: number; readonly gzip: number }
export type BundleSize = {
  readonly start: Weight
  readonly onDemand: Weight
  /** Of what is imported on demand, the modules that are large by themselves. */
  readonly largeParts: readonly (Weight & { readonly part: string })[]
}

const LARGE_GZIP_BYTES = 20 * 1024

const STATIC = /(?:\bfrom|\bimport)\s*["'](\.{1,2}\/[^"']+)["']/g
const DYNAMIC = /\bimport\(\s*["'](\.{1,2}\/[^"']+)["']\s*\)/g

export function bundleSize(entry: string): BundleSize {
  const start = reachable([entry], [STATIC])
  const all = reachable([entry], [STATIC, DYNAMIC])
  const later = [...all].filter((file) => !start.has(file))
  const parts = later.map((file) => ({ part: nameOf(file), ...weigh([file]) }))
  const largeParts = parts
    .filter(({ gzip }) => gzip > LARGE_GZIP_BYTES)
    .sort((a, b) => b.gzip - a.gzip)
  return { start: weigh(start), onDemand: weigh(later), largeParts }
}

/** `parts/cel-JWGMR7NM.js` -> `cel`. */
function nameOf(file: string): string {
  return basename(file).replace(/-[A-Z0-9]{8}\.m?js$/, '')
}

/** Files of the bundle only: whatever else an older build left in the folder is not counted. */
function reachable(from: readonly string[], forms: readonly RegExp[]): ReadonlySet<string> {
  const seen = new Set(from)
  for (const file of seen) {
    const text = readFileSync(file, 'utf8')
    for (const form of forms) {
      for (const [, path = ''] of text.matchAll(form)) {
        // The parts of a bundle carry a hash in their name; a string in the code that looks like a path does not.
        if (/-[A-Z0-9]{8}\.m?js$/.test(path)) seen.add(join(dirname(file), path))
      }
    }
  }
  return seen
}

function weigh(files: Iterable<string>): Weight {
  const contents = [...files].map((file) => readFileSync(file))
  return {
    bytes: contents.reduce((sum, { length }) => sum + length, 0),
    gzip: contents.reduce((sum, content) => sum + gzipSync(content).length, 0),
  }
}
