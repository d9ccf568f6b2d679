// AWS's SDK is most of what a process would load: no entry loads it at its start, and a Worker has none of it.
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'

/** Types are gone before anything is loaded. */
const STATIC = /^(?:import|export)(?! type\b)[^'"]*?from '([^']+)'|^import '([^']+)'/gm
const DYNAMIC = /\bimport\('([^']+)'\)/g

/** Every module and package that a file leads to. */
function reachable(entry: string, forms: readonly RegExp[]): ReadonlySet<string> {
  const seen = new Set([entry])
  for (const path of seen) {
    if (!path.endsWith('.ts')) continue
    const text = readFileSync(path, 'utf8')
    for (const form of forms) {
      for (const [, one, other] of text.matchAll(form)) {
        const name = one ?? other ?? ''
        seen.add(name.startsWith('.') ? normalize(join(dirname(path), name)) : name)
      }
    }
  }
  return seen
}

const ofAws = (modules: ReadonlySet<string>) =>
  [...modules].filter((name) => /^@(aws-sdk|smithy)\//.test(name) || name.endsWith('table.gen.ts'))

test.each(['functions/node.ts', 'functions/lambda.ts', 'functions/worker.ts'])(
  '%s starts without AWS’s SDK and without the table of AWS’s actions',
  (entry) => {
    const loaded = reachable(entry, [STATIC])
    expect(loaded.size).toBeGreaterThan(100)
    expect(ofAws(loaded)).toEqual([])
  },
)

test('a Worker never loads AWS’s SDK', () => {
  const loaded = reachable('functions/worker.ts', [STATIC, DYNAMIC])
  expect(ofAws(loaded)).toEqual(['functions/actions/aws-table.gen.ts'])
  expect(loaded).toContain('functions/aws/sts-fetch.ts')
  expect(loaded).toContain('aws4fetch')
})

test('Node and Lambda can', () => {
  for (const entry of ['functions/node.ts', 'functions/lambda.ts']) {
    expect(reachable(entry, [STATIC, DYNAMIC])).toContain('@aws-sdk/client-sts')
  }
})
