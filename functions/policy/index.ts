// Policy documents: what they may say, what they would change, and what an isolate holds of them.
export type { PolicyTypes } from './check.ts'
export { checkObject, checkPolicy, validatePolicyDocument } from './check.ts'
export { parsePolicyDocument, parsePolicyObject } from './parse.ts'
export type { PolicyPlan } from './plan.ts'
export { planPolicy } from './plan.ts'
export { createPolicySource } from './source.ts'
export { policyWarnings } from './warnings.ts'
