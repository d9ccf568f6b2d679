// The reference UI at /docs, made from the OpenAPI document. It has no script at all, and its policy
// allows none: nothing that ever gets into it can run (ADM-7).
import { Hono } from 'hono'
import openApi from '../../schema/openapi.json' with { type: 'json' }

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'public, max-age=300',
} as const

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h2{margin:2.5rem 0 .5rem;border-bottom:1px solid #ccc}details{margin:.25rem 0;border:1px solid #ddd;border-radius:4px}
summary{padding:.4rem .6rem;cursor:pointer}details>div{padding:0 1rem .8rem}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f5f5f5;padding:.6rem;overflow:auto;max-height:28rem}b{display:inline-block;min-width:4.5rem}i{color:#555;float:right}
@media(prefers-color-scheme:dark){body{color:#e4e4e4;background:#161616}pre{background:#222}details{border-color:#3a3a3a}h2{border-color:#444}i{color:#aaa}}`

export function docsRoutes(): Hono {
  const app = new Hono()
  const page = once(renderPage)
  const document = once(() => JSON.stringify(openApi))
  app.get('/openapi.json', () => answer(document(), 'application/json'))
  app.get('/docs', () => answer(page(), 'text/html; charset=utf-8'))
  app.get('/docs/style.css', () => answer(STYLE, 'text/css; charset=utf-8'))
  for (const path of ['/openapi.json', '/docs', '/docs/style.css'])
    app.all(path, () => new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } }))
  return app
}

function answer(body: string, contentType: string): Response {
  return new Response(body, { headers: { ...HEADERS, 'content-type': contentType } })
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null
  return () => (made ??= { value: make() }).value
}

type Described = {
  readonly summary: string
  readonly tags: readonly string[]
  readonly 'x-role'?: string
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly description: string
  }[]
  readonly requestBody?: { readonly content: object }
  readonly responses: Readonly<
    Record<string, { readonly description: string } | { readonly $ref: string }>
  >
}

function renderPage(): string {
  const operations = Object.entries(openApi.paths).flatMap(([path, methods]) =>
    // The document is generated: every operation has these members (functions/http/openapi.ts).
    Object.entries(methods).map(([method, one]) => ({ path, method, ...(one as Described) })),
  )
  const sections = openApi.tags.map(({ name }) => {
    const inside = operations.filter(({ tags }) => tags.includes(name)).map(renderOperation)
    return `<h2>${escape(name)}</h2>${inside.join('')}`
  })
  const schemas = Object.entries(openApi.components.schemas).map(
    ([name, schema]) =>
      `<details id="${escape(name)}"><summary><code>${escape(name)}</code></summary><div>${pre(schema)}</div></details>`,
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sallyport API</title><link rel="stylesheet" href="/docs/style.css"></head><body><h1>Sallyport API ${escape(openApi.info.version)}</h1><p>${escape(openApi.info.description)} As a document: <a href="/openapi.json">openapi.json</a>.</p>${sections.join('')}<h2>Schemas</h2>${schemas.join('')}</body></html>\n`
}

function renderOperation(operation: Described & { path: string; method: string }): string {
  const role = operation['x-role']
  const parameters = (operation.parameters ?? []).map(
    (one) =>
      `<li><code>${escape(one.name)}</code> (${escape(one.in)}): ${escape(one.description)}</li>`,
  )
  const responses = Object.entries(operation.responses).map(
    ([status, one]) => `<li><code>${escape(status)}</code> ${escape(describeAnswer(one))}</li>`,
  )
  return [
    `<details><summary><b>${escape(operation.method.toUpperCase())}</b> <code>${escape(operation.path)}</code>`,
    role === undefined ? '' : ` <i>${escape(role)}</i>`,
    `</summary><div><p>${escape(operation.summary)}</p>`,
    parameters.length === 0 ? '' : `<ul>${parameters.join('')}</ul>`,
    operation.requestBody === undefined
      ? ''
      : `<p>Request</p>${pre(operation.requestBody.content)}`,
    `<p>Answers</p><ul>${responses.join('')}</ul></div></details>`,
  ].join('')
}

function describeAnswer(one: Described['responses'][string]): string {
  if ('description' in one) return one.description
  const name = one.$ref.slice(one.$ref.lastIndexOf('/') + 1)
  const found = Object.entries(openApi.components.responses).find(([known]) => known === name)
  return found?.[1].description ?? ''
}

function pre(value: unknown): string {
  return `<pre>${escape(JSON.stringify(value, null, 2))}</pre>`
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
