// The query protocol of STS and the XML that it answers, as far as tests need to see them.
import type { IncomingMessage } from 'node:http'

export function parametersOf(
  request: IncomingMessage,
  body: Buffer,
): Readonly<Record<string, string>> {
  const isForm = (request.headers['content-type'] ?? '').startsWith(
    'application/x-www-form-urlencoded',
  )
  const text = isForm ? body.toString() : (request.url?.split('?')[1] ?? '')
  return Object.fromEntries(new URLSearchParams(text))
}

/** Empty when there is no such element. */
export function valueOf(xml: string, element: string): string {
  return new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1] ?? ''
}
