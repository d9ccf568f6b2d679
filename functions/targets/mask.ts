// Takes out of an answer what the target's `mask` names. JSON is edited in its source text: numbers keep
// every digit, and members that come twice are masked twice. What cannot be read for certain is not
// released at all.
import type { MaskRule } from '../core/policy.ts'
import { editJson } from './json-edit.ts'
import { parseJsonPath, type JsonPath } from './json-path.ts'
import { compilePattern, replaceAll, type Masked, type PatternMask } from './mask-pattern.ts'

const DEFAULT_REPLACEMENT = '[masked]'

export type PathMask = { readonly path: JsonPath; readonly replacement: string }

export type Mask = {
  readonly paths: readonly PathMask[]
  readonly patterns: readonly PatternMask[]
}

/** Rules that http-config.ts has nothing against. Null when there are none. */
export function compileMask(rules: readonly MaskRule[] | undefined): Mask | null {
  if (rules === undefined || rules.length === 0) return null
  const paths: PathMask[] = []
  const patterns: PatternMask[] = []
  for (const rule of rules) {
    const replacement = rule.with ?? DEFAULT_REPLACEMENT
    if (rule.pattern !== undefined) {
      patterns.push({ pattern: compilePattern(rule.pattern), replacement })
      continue
    }
    const path = parseJsonPath(rule.json_path ?? '')
    if ('mistake' in path) throw new Error('a mask was compiled that was not validated')
    paths.push({ path, replacement })
  }
  return { paths, patterns }
}

/** The masked body, or null when this kind of answer cannot be masked for certain. */
export function maskBody(mask: Mask, contentType: string | null, body: Uint8Array): Masked | null {
  if (body.length === 0) return { text: '', count: 0 }
  const kind = maskableKind(contentType)
  if (kind === null || (kind === 'text' && mask.paths.length > 0)) return null
  const text = decode(body)
  if (text === null) return null
  return kind === 'json' ? editJson(text, mask) : replaceAll(mask.patterns, text)
}

/** Text whose characters are what they look like. An event stream does not end, so it cannot be held. */
function maskableKind(contentType: string | null): 'json' | 'text' | null {
  const [essence = '', ...parameters] = (contentType ?? '').toLowerCase().split(';')
  const charset = parameters.map((p) => p.trim()).find((p) => p.startsWith('charset='))
  if (charset !== undefined && !/^charset="?(utf-8|us-ascii)"?$/.test(charset)) return null
  const type = essence.trim()
  if (type === 'application/json' || type.endsWith('+json')) return 'json'
  return type.startsWith('text/') && type !== 'text/event-stream' ? 'text' : null
}

function decode(body: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(body)
  } catch {
    // Bytes that are not UTF-8 could read as anything to the agent: the caller refuses the answer.
    return null
  }
}
