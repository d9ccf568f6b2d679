// Policy objects as they are after parsing, valid with fakePolicyTypes.
import type {
  AuthMethodPolicy,
  BindingPolicy,
  IntentPolicy,
  TargetPolicy,
} from '../../functions/core/policy.ts'

export function authMethod(change: Partial<AuthMethodPolicy> = {}): AuthMethodPolicy {
  return {
    name: 'prod',
    type: 'oidc',
    subject: 'workload',
    enabled: true,
    config: { issuer: 'https://oidc.example', audiences: ['sallyport'] },
    ...change,
  }
}

export function target(change: Partial<TargetPolicy> = {}): TargetPolicy {
  return {
    name: 'crm',
    type: 'http',
    enabled: true,
    config: { base_url: 'https://crm.example' },
    ...change,
  }
}

export function binding(change: Partial<BindingPolicy> = {}): BindingPolicy {
  return {
    name: 'support-crm',
    enabled: true,
    auth_method: 'prod',
    target: 'crm',
    effect: 'allow',
    grants: [{ effects: ['read'], objects: ['GET /v1/customers/*'] }],
    ttl_seconds: 300,
    delivery: 'session',
    mode: 'enforce',
    owner: 'team-support',
    ...change,
  }
}

export function intentPolicy(change: Partial<IntentPolicy> = {}): IntentPolicy {
  return { name: 'default', enabled: true, rules: [], ...change }
}
