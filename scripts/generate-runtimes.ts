// Writes docs/runtimes.md out of the capability table. A test fails when the page is not what this would
// write.
import { writeFileSync } from 'node:fs'
import { capabilities } from '../functions/http/capabilities.ts'
import type { Capabilities, EntryKind } from '../functions/http/capabilities.ts'

const titles: Readonly<Record<EntryKind, string>> = {
  node: 'Node server',
  workerd: 'Cloudflare Workers',
  'lambda-url': 'Lambda Function URL, buffered',
  'lambda-url-streaming': 'Lambda Function URL, streaming',
  'lambda-apigw-v1': 'API Gateway REST (format 1.0)',
  'lambda-apigw-v2': 'API Gateway HTTP (format 2.0)',
}

export function runtimesPage(): string {
  const kinds = Object.keys(capabilities) as EntryKind[]
  return [
    '# What each entry can carry',
    '',
    'Generated from `functions/http/capabilities.ts` by `npm run generate`; the runtime suite holds every entry',
    'to its row. Byte figures are of the body alone. Whatever an entry cannot carry is refused with an error,',
    'never cut.',
    '',
    '| entry | request streams | response streams | largest request | largest response | repeated headers | path | client address | client certificate |',
    '|---|---|---|---|---|---|---|---|---|',
    ...kinds.map((kind) => row(titles[kind], capabilities[kind])),
    '',
    '- *joined*: values of a repeated header arrive as one, separated by a comma. A comma in `Authorization` or',
    '  `DPoP` is refused on every entry, so that joined and separate come to the same.',
    '- *path parsed*: dot segments or percent-encoding are resolved before the broker sees the path. What it',
    '  judges is what it forwards; forms that could be read in two ways are refused where they are visible.',
    '- Only the platform vouches for the client address. `X-Forwarded-For` and its like are never read.',
    '- Client certificates come from the connection or the platform, never from a header: `Client-Cert`,',
    '  `X-Forwarded-Client-Cert`, `Cf-Client-Cert-*` and `X-Amzn-Mtls-*` are not read, and a load balancer that',
    '  sets them is no entry. Where the leaf alone arrives, intermediates belong into `ca` or the bundle.',
    '- API Gateway REST needs `*/*` among its binary media types. HTTP APIs and REST APIs need a custom domain',
    '  mapped at the root, because the issuer is an origin.',
    '- Streaming on Lambda: set the Function URL to `RESPONSE_STREAM` and `SALLYPORT_LAMBDA_STREAMING=1`.',
    '',
  ].join('\n')
}

function row(title: string, of: Capabilities): string {
  const cells = [
    title,
    yesNo(of.requestStreaming),
    yesNo(of.responseStreaming),
    size(of.maxRequestBytes),
    size(of.maxResponseBytes),
    of.duplicateRequestHeaders,
    of.rawPath ? 'as sent' : 'parsed',
    of.clientAddress,
    of.clientCertificate ?? 'none',
  ]
  return `| ${cells.join(' | ')} |`
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no'
}

function size(bytes: number | null): string {
  return bytes === null ? 'no bound of its own' : `${bytes.toLocaleString('en-US')} bytes`
}

if (import.meta.main) writeFileSync('docs/runtimes.md', runtimesPage())
