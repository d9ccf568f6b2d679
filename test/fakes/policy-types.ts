// A family of each kind of plugin that knows just enough to say yes, no, and to be compiled.
import type { AuthMethodType } from '../../functions/core/auth-method.ts'
import type { EvaluatorType } from '../../functions/core/evaluator.ts'
import type { DocumentError } from '../../functions/core/policy.ts'
import { fail, ok } from '../../functions/core/result.ts'
import type { TargetType } from '../../functions/core/target.ts'
import type { PolicyTypes } from '../../functions/policy/index.ts'

export function fakePolicyTypes(
  secrets: Readonly<Record<string, readonly string[]>> = {},
): PolicyTypes & { compiled: string[] } {
  const compiled: string[] = []
  return {
    compiled,
    authMethods: [fakeAuthMethodType(compiled)],
    targets: [fakeTargetType(compiled)],
    evaluators: [fakeEvaluatorType('authzen'), fakeEvaluatorType('openai-compatible')],
    conditions: {
      load: async () => undefined,
      holds: () => false,
      mistake: (expression) => (expression.includes('!!') ? 'does not parse' : null),
    },
    async secretAllowedOrigins(reference) {
      const origins = secrets[reference]
      return origins === undefined ? fail({ reason: 'not_found', reference }) : ok(origins)
    },
    issuer: 'https://broker.example',
  }
}

function fakeAuthMethodType(compiled: string[]): AuthMethodType {
  return {
    type: 'oidc',
    tokenTypes: [],
    validate: ({ config }) => required('/config/audiences', config['audiences']),
    compile(method) {
      compiled.push(method.name)
      if (method.config['explodes'] === true) throw new Error('cannot be compiled')
      return {
        name: method.name,
        type: method.type,
        selector: { by: 'issuer', issuer: String(method.config['issuer']) },
        tokenTypes: [],
        accepts: () => true,
        verify: () => Promise.reject(new Error('not part of this test')),
      }
    },
  }
}

function fakeTargetType(compiled: string[]): TargetType {
  return {
    type: 'http',
    validate: ({ config }) => required('/config/base_url', config['base_url']),
    compile(policy) {
      compiled.push(policy.name)
      return {
        policy,
        normalise: () => Promise.reject(new Error('not part of this test')),
        fingerprint: () => Promise.reject(new Error('not part of this test')),
        call: () => Promise.reject(new Error('not part of this test')),
      }
    },
  }
}

function fakeEvaluatorType(type: string): EvaluatorType {
  return {
    type,
    validate: ({ url }) => (url.startsWith('https:') ? [] : required('/url', undefined)),
    compile: () => ({
      name: type,
      evaluate: () => Promise.reject(new Error('not part of this test')),
    }),
  }
}

function required(path: string, value: unknown): DocumentError[] {
  return value === undefined ? [{ path, code: 'unsafe', message: 'is required' }] : []
}
