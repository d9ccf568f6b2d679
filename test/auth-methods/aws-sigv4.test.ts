// The vendor's signing vectors: they prove the recomputation that stands for STS in these tests, and every
// one of them is a request that aws-iam must refuse on its form.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseSignedRequest } from '../../functions/auth-methods/aws-sigv4.ts'
import { readSignature, type SignedHttpRequest } from '../fakes/sigv4.ts'

const VECTORS = resolve(import.meta.dirname, '../../../shared/vectors/aws-sigv4')
const isAbsent = !existsSync(VECTORS) && process.env['CI'] === undefined

type Context = {
  readonly normalize: boolean
  readonly omit_session_token?: boolean
  readonly credentials: { readonly secret_access_key: string }
}

const names = existsSync(VECTORS)
  ? readdirSync(VECTORS).filter((name) => existsSync(join(VECTORS, name, 'context.json')))
  : []

function read(name: string, file: string): string {
  return readFileSync(join(VECTORS, name, file), 'utf8')
}

/** A request as the vectors write it down: folded header lines, raw paths and all. */
function requestOf(text: string): SignedHttpRequest {
  const [head = '', ...body] = text.split('\n\n')
  const [first = '', ...lines] = head.replace(/\n[ \t]+/g, ' ').split('\n')
  const headers = lines.filter(Boolean).map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1)]
  })
  const [method = '', ...target] = first.replace(/ HTTP\/1\.1$/, '').split(' ')
  return { method, target: target.join(' '), headers, body: body.join('\n\n').trimEnd() }
}

describe.skipIf(isAbsent)('AWS signing vectors (need ../shared/vectors/aws-sigv4)', () => {
  it('there are some', () => {
    expect(names.length).toBeGreaterThan(30)
  })

  describe.each(names)('%s', (name) => {
    it.each(['header', 'query'])('the %s signature is recomputed', (form) => {
      const context = JSON.parse(read(name, 'context.json')) as Context
      const signature = readSignature(requestOf(read(name, `${form}-signed-request.txt`)), {
        normalize: context.normalize,
        omitsToken: context.omit_session_token ?? false,
      })
      expect(signature?.canonicalRequest).toBe(read(name, `${form}-canonical-request.txt`))
      const secret = context.credentials.secret_access_key
      expect(signature?.compute(secret)).toBe(read(name, `${form}-signature.txt`).trim())
      expect(signature?.claimed).toBe(signature?.compute(secret))
    })

    it('AW-03 AW-04 is no attestation: another service, another action', () => {
      const { method, target, headers, body } = requestOf(read(name, 'header-signed-request.txt'))
      const url = `https://sts.us-east-1.amazonaws.com${target}`
      const grouped = Object.groupBy(headers, ([header]) => header)
      const lists = Object.entries(grouped).map(([header, lines = []]) => [
        header,
        lines.map(([, value]) => value),
      ])
      const request = { method, url, headers: Object.fromEntries(lists), body }
      const query = requestOf(read(name, 'query-signed-request.txt')).target
      const presigned = { presigned_url: `https://sts.us-east-1.amazonaws.com${query}` }
      for (const envelope of [request, presigned]) {
        const token = Buffer.from(JSON.stringify(envelope)).toString('base64url')
        expect(parseSignedRequest(token).ok).toBe(false)
      }
    })
  })
})
