// JSON Pointers (RFC 6901) of mistakes in a document.
import type { DocumentError } from '../core/policy.ts'

export function pointer(...steps: readonly PropertyKey[]): string {
  return steps
    .map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`)
    .join('')
}

/** The same mistakes, seen from further out. */
export function below(prefix: string, errors: readonly DocumentError[]): DocumentError[] {
  return prefix === ''
    ? [...errors]
    : errors.map((error) => ({ ...error, path: `${prefix}${error.path}` }))
}

/** Two checks may find the same mistake; it is reported once. */
export function withoutRepetition(errors: readonly DocumentError[]): DocumentError[] {
  const seen = new Set<string>()
  return errors.filter(({ path, code }) => {
    const key = `${path} ${code}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}
