// The rules of dependency and of naming, held by a test: who may import whom, that a plugin has one name
// everywhere, that entries stay entries and files stay small.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { createAuthMethodTypes } from '../functions/auth-methods/index.ts'
import { createEvaluatorTypes } from '../functions/intent-evaluators/index.ts'
import { createAwsSources } from '../functions/secrets/index.ts'
import { createTargetTypes } from '../functions/targets/index.ts'
import { runtimesPage } from '../scripts/generate-runtimes.ts'

const sources = readdirSync('functions', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('functions', name))

function text(path: string): string {
  return readFileSync(path, 'utf8')
}

/** What a file imports: paths inside the project resolved, packages by name. */
function importsOf(path: string): readonly string[] {
  const found = text(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)
  return [...found].map(([, specifier = '']) =>
    specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier,
  )
}

/** Each file of a folder with what it imports and may not. */
function trespasses(folder: string, isAllowed: (imported: string) => boolean): readonly string[] {
  return sources
    .filter((path) => path.startsWith(folder))
    .flatMap((path) =>
      importsOf(path)
        .filter((imported) => !isAllowed(imported))
        .map((imported) => `${path} imports ${imported}`),
    )
}

function isIn(...folders: readonly string[]): (imported: string) => boolean {
  return (imported) => folders.some((folder) => imported.startsWith(folder))
}

test('there is something to check', () => {
  expect(sources.length).toBeGreaterThan(50)
  expect(sources.flatMap(importsOf).length).toBeGreaterThan(200)
})

test('core/ imports core/ and nothing else', () => {
  expect(trespasses('functions/core/', isIn('functions/core/'))).toEqual([])
})

test('only store/ and the composition reach the store; http/ knows its contract alone', () => {
  const isContract = (imported: string) => imported === 'functions/store/contract.ts'
  const isStore = isIn('functions/store/', 'schema/', 'node:sqlite', '@libsql/', 'drizzle-orm')
  // A generated document is data.
  const isDocument = (imported: string) => imported.endsWith('.json')
  for (const folder of ['actions', 'auth-methods', 'http', 'intent-evaluators', 'net', 'targets']) {
    const isAllowed = (imported: string) =>
      !isStore(imported) || isContract(imported) || isDocument(imported)
    expect(trespasses(`functions/${folder}/`, isAllowed)).toEqual([])
  }
})

test('nothing below the composition root knows the runtimes', () => {
  const isEntry = isIn('functions/node.ts', 'functions/worker.ts', 'functions/lambda.ts')
  const isRuntime = isIn(
    'functions/platforms/node',
    'functions/platforms/workerd.ts',
    'functions/platforms/lambda',
    'functions/app.ts',
    'cloudflare:',
  )
  const shells = isIn('functions/platforms/', 'functions/cli/', 'functions/node.ts')
  for (const path of sources) {
    if (shells(path) || /^functions\/(worker|lambda)\.ts$/.test(path)) continue
    expect(importsOf(path).filter((imported) => isEntry(imported) || isRuntime(imported))).toEqual(
      [],
    )
  }
})

test('plugins know core/ and what they are handed, not http/ or each other', () => {
  for (const family of ['auth-methods', 'targets', 'intent-evaluators', 'secrets', 'actions']) {
    const others = ['auth-methods', 'targets', 'intent-evaluators', 'secrets']
      .filter((other) => other !== family)
      .map((other) => `functions/${other}/`)
    const isForbidden = isIn('functions/http/', 'functions/app.ts', 'functions/cli/', ...others)
    const isAllowed = (imported: string) => !isForbidden(imported)
    expect(trespasses(`functions/${family}/`, isAllowed)).toEqual([])
  }
})

test('SQL stands in store/ alone', () => {
  const sql =
    /\b(SELECT\b[^'"`]*\bFROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE|PRAGMA \w+)\b/
  const elsewhere = sources.filter(
    (path) => !path.startsWith('functions/store/') && sql.test(withoutComments(text(path))),
  )
  expect(elsewhere).toEqual([])
})

function withoutComments(source: string): string {
  return source.replace(/\/\*[^]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
}

test('the entries fill the platform and call the app, in a few lines', () => {
  for (const entry of ['node', 'worker', 'lambda']) {
    const lines = text(`functions/${entry}.ts`).split('\n').length
    expect(lines, entry).toBeLessThan(40)
  }
})

test('no file is over 500 lines', () => {
  const isGenerated = (path: string) => path.endsWith('.gen.ts')
  const long = sources.filter((path) => !isGenerated(path) && text(path).split('\n').length > 500)
  expect(long).toEqual([])
})

test('every file opens with what it is for', () => {
  const isOpened = (path: string) => /^(#!.*\n)?(\/\/|\/\*)/.test(text(path))
  expect(sources.filter((path) => !isOpened(path))).toEqual([])
})

test('a folder of functions/ has at most one index.ts, and no file is named for nothing', () => {
  const vague = /(^|[/-])(utils?|helpers?|manager|misc|common|data)\.ts$/
  // Named by the vendor: a member of a family is called what its references say.
  const isService = (path: string) => path === 'functions/secrets/aws-secrets-manager.ts'
  expect(sources.filter((path) => vague.test(path) && !isService(path))).toEqual([])
})

// Making the list of a family does no I/O and reads no dependency, so that none has to be given.
const families: readonly (readonly [string, readonly string[]])[] = [
  ['auth-methods', createAuthMethodTypes({} as never).map(({ type }) => type)],
  ['targets', createTargetTypes({} as never).map(({ type }) => type)],
  ['intent-evaluators', createEvaluatorTypes({} as never).map(({ type }) => type)],
  ['secrets', createAwsSources({} as never).map(({ scheme }) => scheme)],
]

test.each(families)(
  'every member of %s has one name: file, type, test and index',
  (family, types) => {
    expect(types.length).toBeGreaterThan(0)
    const index = importsOf(`functions/${family}/index.ts`)
    for (const type of types) {
      const file = `functions/${family}/${type}.ts`
      expect(existsSync(file), file).toBe(true)
      expect(existsSync(`test/${family}/${type}.test.ts`), `test of ${type}`).toBe(true)
      expect(index).toContain(file)
    }
  },
)

test('the Worker is built from functions/worker.ts, for a date its workerd knows', () => {
  const config = text('wrangler.jsonc')
  expect(config).toContain('"main": "dist/worker/worker.js"')
  expect(config).toContain('"command": "npm run --silent build -- worker --quiet"')
  expect(text('scripts/build.ts')).toContain(
    "bundleWorker('functions/worker.ts', 'dist/worker/worker.js')",
  )
  expect(config).toContain('"compatibility_date": "2026-10-01"')
})

test('docs/runtimes.md is what the capability table makes', () => {
  expect(text('docs/runtimes.md')).toBe(runtimesPage())
})

test('every dependency is pinned', () => {
  const { dependencies, devDependencies } = JSON.parse(text('package.json')) as Record<
    string,
    Record<string, string>
  >
  const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
  )
  expect(loose).toEqual([])
})
