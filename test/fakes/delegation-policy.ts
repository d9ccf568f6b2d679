// A policy with people, agents and sub-agents of one issuer, told apart by the audience of their tokens.

export const PEOPLE = { aud: 'sallyport-people', sub: 'ada', email: 'ada@example.com', team: null }
export const HELPER = { aud: 'sallyport-helpers', sub: 'helper-1', team: 'support' }
export const DEEP = { aud: 'sallyport-deep', sub: 'deep-1', team: 'support' }

type Part = Readonly<Record<string, unknown>>

export function delegationPolicy(
  issuer: string,
  baseUrl: string,
  over: {
    readonly binding?: Part
    readonly bindings?: readonly Part[]
    readonly policies?: readonly Part[]
  } = {},
) {
  const method = (name: string, audience: string, more: Part = {}) => ({
    name,
    type: 'oidc',
    config: {
      issuer,
      audiences: [audience],
      ...('subject' in more ? {} : { match: { team: 'support' } }),
    },
    ...more,
  })
  const target = (name: string) => ({
    name,
    type: 'http',
    config: { base_url: baseUrl },
    credential: { inject: 'bearer', secret: 'sealed:crm-key' },
    max_response_bytes: 1000,
  })
  return {
    auth_methods: [
      method('ci', 'sallyport'),
      method('people', 'sallyport-people', { subject: 'user' }),
      method('guests', 'sallyport-guests', { subject: 'user' }),
      method('helpers', 'sallyport-helpers'),
      method('deep', 'sallyport-deep'),
    ],
    targets: [target('crm'), target('billing')],
    bindings: [
      {
        name: 'support-crm',
        auth_method: 'ci',
        target: 'crm',
        grants: [
          { effects: ['read'], objects: ['GET /v1/customers/*', 'GET /v1/customers'] },
          { effects: ['write'], objects: ['POST /v1/notes'] },
        ],
        ttl_seconds: 300,
        ...over.binding,
      },
      ...(over.bindings ?? []),
    ],
    intent_policies: over.policies ?? [],
  }
}
