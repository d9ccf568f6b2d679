import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import openApi from '../../schema/openapi.json' with { type: 'json' }
import { docsRoutes } from '../../functions/http/docs.ts'
import { generatedFiles } from '../../scripts/generate-openapi.ts'

const ROOT = new URL('../../', import.meta.url)

describe('the generated schemas', () => {
  test.each([...generatedFiles()])(
    '%s is in step: `node scripts/generate-openapi.ts` mends it',
    async (path, content) => {
      expect(await readFile(new URL(path, ROOT), 'utf8')).toBe(content)
    },
  )

  test('refer only to what is there, and leave nothing unused', () => {
    const text = JSON.stringify(openApi)
    const refs = new Set(
      [...text.matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)].map(
        ([, kind, name]) => `${kind}/${name}`,
      ),
    )
    const { schemas, responses } = openApi.components
    const there = [
      ...Object.keys(schemas).map((name) => `schemas/${name}`),
      ...Object.keys(responses).map((name) => `responses/${name}`),
    ]
    expect([...refs].toSorted()).toEqual(there.toSorted())
  })

  test('describe every route of the contract', () => {
    const paths = Object.keys(openApi.paths)
    for (const path of [
      '/token-exchange',
      '/introspect',
      '/revoke',
      '/.well-known/oauth-authorization-server',
      '/.well-known/jwks.json',
      '/federation/.well-known/openid-configuration',
      '/federation/.well-known/jwks.json',
      '/.well-known/oauth-protected-resource/t/{target}',
      '/t/{target}/{path}',
      '/access/v1/evaluation',
      '/healthz',
      '/readyz',
      '/openapi.json',
      '/admin/v1/policy/apply',
    ])
      expect(paths).toContain(path)
  })

  test('refuse unknown members of policy objects, and require no member that has a default', () => {
    const { Binding } = openApi.components.schemas
    expect(Binding.additionalProperties).toBe(false)
    expect(Binding.required).toEqual(['name', 'auth_method', 'target'])
  })
})

describe('the reference UI', () => {
  const app = docsRoutes()

  test('ADM-7: has no script, and its policy allows none, nor any frame or other origin', async () => {
    const page = await app.request('/docs')
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    const html = await page.text()
    expect(html).not.toMatch(/<script|<iframe|\son\w+=|style=|javascript:|https?:\/\//i)
    expect(html).toContain('/admin/v1/policy/apply')
  })

  test('is complete: every operation and every schema is on the page', async () => {
    const html = await (await app.request('/docs')).text()
    for (const path of Object.keys(openApi.paths)) expect(html).toContain(`<code>${path}</code>`)
    for (const name of Object.keys(openApi.components.schemas))
      expect(html).toContain(`id="${name}"`)
  })

  test('serves the document itself, byte for byte the same value', async () => {
    const served = await app.request('/openapi.json')
    expect(served.headers.get('content-type')).toBe('application/json')
    expect(served.headers.get('x-content-type-options')).toBe('nosniff')
    expect(await served.json()).toEqual(openApi)
    expect((await app.request('/docs', { method: 'POST' })).headers.get('allow')).toBe('GET, HEAD')
  })
})
