import { expect, it } from 'vitest'
import { createAuthMethodTypes } from '../../functions/auth-methods/index.ts'
import { selectAttestation } from '../../functions/auth-methods/select.ts'
import { ATTESTATION_TOKEN_TYPES, TOKEN_TYPES } from '../../functions/core/token.ts'

// Making the list of a family reads no dependency.
const types = createAuthMethodTypes({} as never)

it('TX-05 the token types that an exchange takes are those of the family, each of them', () => {
  const taken = new Set(types.flatMap(({ tokenTypes }) => tokenTypes))
  expect(new Set(ATTESTATION_TOKEN_TYPES)).toEqual(taken)
  expect(new Set(ATTESTATION_TOKEN_TYPES).size).toBe(ATTESTATION_TOKEN_TYPES.length)
})

it('an attestation that names nothing is looked up by its kind alone, whatever it holds', () => {
  for (const tokenType of [TOKEN_TYPES.awsSigV4, TOKEN_TYPES.opaque]) {
    for (const token of ['', 'a.b.c', 'x'.repeat(10_000)]) {
      expect(selectAttestation({ tokenType, token })).toEqual({
        ok: true,
        value: { by: 'token_type', tokenType },
      })
    }
  }
})

it('TX-05 TX-06 every other token type selects nothing', () => {
  for (const tokenType of [TOKEN_TYPES.accessToken, 'urn:ietf:params:oauth:token-type:saml2', '']) {
    expect(selectAttestation({ tokenType, token: 'a.b.c' })).toEqual({
      ok: false,
      failure: { reason: 'unsupported_type' },
    })
  }
})
