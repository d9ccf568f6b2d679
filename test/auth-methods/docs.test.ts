import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import { PRESETS } from '../../functions/auth-methods/presets.ts'
import { JWT_STOPS, METHOD_ROWS } from '../../scripts/auth-method-rows.ts'
import { authMethodsPage } from '../../scripts/generate-auth-methods.ts'
import { PRESET_ROWS } from '../../scripts/preset-rows.ts'

it('the documentation has a row for every method and every preset, and for no other', () => {
  const types = createAuthMethodTypes({} as never).map(({ type }) => type)
  expect(METHOD_ROWS.map(({ type }) => type).sort()).toEqual([...types].sort())
  expect(PRESET_ROWS.map(({ name }) => name)).toEqual(PRESETS.map(({ name }) => name))
})

it('every default is shown with a test that there is', () => {
  const rows = [...METHOD_ROWS, ...PRESET_ROWS]
  const stops = [...JWT_STOPS, ...rows.flatMap((row) => row.stops)]
  const missing = stops.filter(({ shown: [file, name] }) => {
    return !readFileSync(`test/${file}`, 'utf8').includes(name)
  })
  expect(missing.map(({ shown }) => shown.join(': '))).toEqual([])
  for (const row of rows) expect(row.stops.length).toBeGreaterThan(0)
})

it('docs/auth-methods.md is what npm run generate writes', () => {
  expect(readFileSync('docs/auth-methods.md', 'utf8')).toBe(authMethodsPage())
})
