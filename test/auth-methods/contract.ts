// What every JWT method owes, whichever it is. Each member passes this first, then its own vectors.
import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { jwtTokenContract } from './token-contract.ts'
import {
  claimsOf,
  compiled,
  createWorld,
  ISSUER,
  mistakes,
  NOW,
  outcome,
  OWN,
  policy,
  verifyClaims,
  type Member,
  type World,
} from './setup.ts'

const SKEW = 60
const DAY = 86_400

export function jwtMethodContract(member: Member): void {
  jwtTokenContract(member)

  let world: World
  beforeAll(async () => {
    world = await createWorld(member)
  })

  const verifyToken = (
    token: string,
    config: JsonObject = {},
    tokenType: string = TOKEN_TYPES.jwt,
  ) => compiled(world, member, config).verify({ tokenType, token })
  const goodHeader = () => member.header(world.issuer)

  describe(`contract of ${member.type}`, () => {
    it('makes an identity of a valid token, of verified claims only', async () => {
      const token = await world.issuer.sign(claimsOf(member), goodHeader())
      const result = await verifyToken(token)
      expect(result.ok && { ...result.value, claims: result.value.claims['sub'] }).toEqual({
        method: 'method-1',
        methodType: member.type,
        kind: 'workload',
        subject: member.claims['sub'],
        claims: member.claims['sub'],
        expiresAt: member.claims['exp'],
        attestationHash: createHash('sha256').update(token).digest('hex'),
        act: null,
        evidence: { alg: member.alg, kid: 'key-1', jwks_age_s: 0 },
      })
    })

    it('DEP-3 says how old the keys were, and refuses older ones than max_stale_seconds', async () => {
      const aged = await createWorld(member)
      aged.keySets.ageSeconds = 500
      const fresh = await verifyClaims(aged, member, {})
      expect(fresh.ok && fresh.value.evidence['jwks_age_s']).toBe(500)
      expect(outcome(await verifyClaims(aged, member, {}, { max_stale_seconds: 499 }))).toBe(
        'keys_stale',
      )
      aged.keySets.ageSeconds = DAY + 1
      expect(outcome(await verifyClaims(aged, member, {}))).toBe('keys_stale')
    })

    it('AUTH-1 gives a reason and no identity when the keys cannot be had', async () => {
      const lonely = await createWorld(member)
      lonely.keySets.published.clear()
      expect(outcome(await verifyClaims(lonely, member, {}))).toBe('keys_unreachable')
    })

    it('verifies a signature once for all methods that look at one attestation', async () => {
      const busy = await createWorld(member)
      const token = await busy.issuer.sign(claimsOf(member), goodHeader())
      const attestation = { tokenType: TOKEN_TYPES.jwt, token }
      const method = compiled(busy, member)
      const other = compiled(busy, member, { audiences: ['somebody-else'] })
      expect(outcome(await method.verify(attestation))).toBe('accepted')
      expect(outcome(await other.verify(attestation))).toBe('wrong_audience')
      expect(busy.keySets.asked).toHaveLength(1)
    })

    describe('RB-01 audience matrix', () => {
      const rows: readonly (readonly [string, JsonObject[string], string])[] = [
        ['absent', null, 'missing_claim'],
        ['empty text', '', 'wrong_audience'],
        ['empty list', [], 'wrong_audience'],
        ['other text', 'x', 'wrong_audience'],
        ['other list', ['x'], 'wrong_audience'],
        ['two others', ['x', 'other'], 'wrong_audience'],
        ['ours in a list', ['me'], 'accepted'],
        ['ours', 'me', 'accepted'],
        ['ours with a slash', 'me/', 'wrong_audience'],
        ['ours as a prefix', 'me.evil', 'wrong_audience'],
        ['beginning of ours', 'm', 'wrong_audience'],
        ['ours below', 'me/child', 'wrong_audience'],
        ['ours in upper case', 'ME', 'wrong_audience'],
        ['ours with a space', 'me ', 'wrong_audience'],
        ['nested list', [['me']], 'claim_type'],
        ['object', { '0': 'me' }, 'claim_type'],
        ['number', 1, 'claim_type'],
        ['true', true, 'claim_type'],
        ['AUTH-4 ours and another', ['me', 'other'], 'wrong_audience'],
        ['ours and a number', ['me', 1], 'claim_type'],
      ]
      it.each(rows)('RB-01 JW-05 aud %s: %j is %s', async (_name, aud, expected) => {
        expect(outcome(await verifyClaims(world, member, { aud }))).toBe(expected)
      })

      it('RB-01 JW-05 a method without an audience cannot be saved', () => {
        expect(mistakes(world, member, { audiences: [] })).toEqual(['/config/audiences range'])
        expect(mistakes(world, member, { audiences: null })).toEqual(['/config/audiences required'])
        expect(() => compiled(world, member, { audiences: [] })).toThrow('does not validate')
      })
    })

    describe('RB-07 time', () => {
      const rows: readonly (readonly [string, JsonObject, string])[] = [
        ['exp inside the skew', { exp: NOW - SKEW + 1 }, 'accepted'],
        ['exp at the skew', { exp: NOW - SKEW }, 'expired'],
        ['exp beyond the skew', { exp: NOW - SKEW - 1 }, 'expired'],
        ['nbf inside the skew', { nbf: NOW + SKEW - 1 }, 'accepted'],
        ['nbf at the skew', { nbf: NOW + SKEW }, 'accepted'],
        ['nbf beyond the skew', { nbf: NOW + SKEW + 1 }, 'not_yet_valid'],
        ['iat inside the skew', { iat: NOW + SKEW - 1 }, 'accepted'],
        ['iat at the skew', { iat: NOW + SKEW }, 'accepted'],
        ['iat beyond the skew', { iat: NOW + SKEW + 1 }, 'not_yet_valid'],
        ['exp absent', { exp: null }, 'missing_claim'],
        ['exp a text', { exp: String(NOW + 300) }, 'claim_type'],
        ['exp true', { exp: true }, 'claim_type'],
        ['exp a list', { exp: [NOW + 300] }, 'claim_type'],
        ['exp 0', { exp: 0 }, 'expired'],
        ['exp -1', { exp: -1 }, 'expired'],
        ['exp in milliseconds', { exp: (NOW + 300) * 1000 }, 'lifetime_too_long'],
        ['exp a fraction', { exp: NOW + 0.5 }, 'accepted'],
        ['nbf a text', { nbf: String(NOW) }, 'claim_type'],
        ['iat a text', { iat: String(NOW) }, 'claim_type'],
        ['iat in milliseconds', { iat: NOW * 1000 }, 'not_yet_valid'],
        ['iat 0', { iat: 0 }, 'lifetime_too_long'],
        ['ten years', { iat: NOW, exp: NOW + 3650 * DAY }, 'lifetime_too_long'],
        ['ten years without iat', { iat: null, exp: NOW + 3650 * DAY }, 'lifetime_too_long'],
        ['a day', { iat: NOW, exp: NOW + DAY }, 'accepted'],
        ['a day and a second', { iat: NOW, exp: NOW + DAY + 1 }, 'lifetime_too_long'],
        ['iat after exp', { iat: NOW + 20, exp: NOW + 10 }, 'claim_mismatch'],
        ['nbf after exp', { nbf: NOW + 20, exp: NOW + 10 }, 'claim_mismatch'],
      ]
      it.each(rows)('RB-07 JW-06 JB-11 AUTH-2 %s: %j is %s', async (_name, change, expected) => {
        // Everything in its usual place unless the row says otherwise.
        const usual: JsonObject = { iat: NOW - 600, nbf: null, exp: NOW + 300 }
        expect(outcome(await verifyClaims(world, member, { ...usual, ...change }))).toBe(expected)
      })

      it.each(['null', '1e400', '-1e400', 'NaN', '0x7fffffff'])(
        'RB-07 JB-11 refuses exp written as %s',
        async (exp) => {
          const payload = JSON.stringify(claimsOf(member, { exp: 'HERE' }))
          const token = await world.issuer.sign(payload.replace('"HERE"', exp), goodHeader())
          const expected = exp === 'null' ? 'claim_type' : 'malformed'
          expect(outcome(await verifyToken(token))).toBe(expected)
        },
      )

      it('JW-06 holds a token to max_lifetime_seconds', async () => {
        const change = { iat: NOW, exp: NOW + 600 }
        expect(
          outcome(await verifyClaims(world, member, change, { max_lifetime_seconds: 600 })),
        ).toBe('accepted')
        expect(
          outcome(await verifyClaims(world, member, change, { max_lifetime_seconds: 599 })),
        ).toBe('lifetime_too_long')
        expect(mistakes(world, member, { max_lifetime_seconds: 0, max_stale_seconds: -1 })).toEqual(
          ['/config/max_lifetime_seconds range', '/config/max_stale_seconds range'],
        )
        expect(mistakes(world, member, { max_lifetime_seconds: 1e9 })).toHaveLength(1)
        expect(mistakes(world, member, { max_lifetime_seconds: '600' })).toHaveLength(1)
      })
    })

    describe('JW-12 kinds of tokens', () => {
      const shapes: readonly (readonly [string, JsonObject])[] = [
        [
          'a logout token',
          { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
        ],
        ['a security event token', { events: {} }],
        ['a key-bound token', { cnf: { jkt: 'x' } }],
        ['an unknown confirmation', { cnf: { 'new-kind': 'x' } }],
        ['a logout token by its payload', { typ: 'Logout' }],
        ['a refresh token', { typ: 'Refresh' }],
        ['an offline token', { typ: 'Offline' }],
      ]
      it.each(shapes)('JW-12 JB-07 AUTH-5 AUTH-7 refuses %s', async (_name, change) => {
        expect(outcome(await verifyClaims(world, member, change))).toBe('type_not_allowed')
      })

      it('JW-12 TX-07 holds an announced ID token to what an ID token is', async () => {
        const asIdToken = async (change: JsonObject): Promise<string> => {
          const claims = claimsOf(member, { iss: member.claims['iss'] ?? ISSUER, ...change })
          const token = await world.issuer.sign(claims, goodHeader())
          return outcome(await verifyToken(token, {}, TOKEN_TYPES.idToken))
        }
        expect(await asIdToken({})).toBe('accepted')
        expect(await asIdToken({ iat: null })).toBe('missing_claim')
        expect(await asIdToken({ token_use: 'access' })).toBe('type_not_allowed')
        expect(await asIdToken({ typ: 'Bearer' })).toBe('type_not_allowed')
      })

      it.each([TOKEN_TYPES.accessToken, 'urn:ietf:params:oauth:token-type:saml2', ''])(
        'TX-05 TX-06 refuses the token type "%s"',
        async (tokenType) => {
          const token = await world.issuer.sign(claimsOf(member), goodHeader())
          expect(outcome(await verifyToken(token, {}, tokenType))).toBe('unsupported_type')
        },
      )

      it.each(OWN)('AUTH-5 refuses a token of the broker itself, iss %s', async (iss) => {
        expect(outcome(await verifyClaims(world, member, { iss }))).toBe('own_token')
      })
    })

    describe('subject', () => {
      it('refuses a sub that is absent or not a text', async () => {
        expect(outcome(await verifyClaims(world, member, { sub: null }))).toBe('missing_claim')
        for (const sub of [1, true, ['a'], { a: 1 }, '']) {
          expect(outcome(await verifyClaims(world, member, { sub }))).toBe('claim_type')
        }
      })

      it.each(['a\u0000b', 'a\nb', 'a\u007fb', 'a\u0085b', 'a\u2028b', 'x'.repeat(2049)])(
        'refuses the unprintable or endless sub %#',
        async (sub) => {
          expect(outcome(await verifyClaims(world, member, { sub }))).not.toBe('accepted')
        },
      )
    })

    describe('match', () => {
      it('JW-07 a missing claim, null and another type match nothing', async () => {
        const match = { team: 'payments', level: 2, admin: true }
        const verifyMatch = async (claims: JsonObject) =>
          outcome(await verifyClaims(world, member, claims, { match }))
        expect(await verifyMatch({ team: 'payments', level: 2, admin: true })).toBe('accepted')
        for (const change of [
          { team: 'payments', level: 2 },
          { team: 'payments', level: '2', admin: true },
          { team: 'payments', level: 2.9, admin: true },
          { team: 'payments', level: 2, admin: 'true' },
          { team: 'payments ', level: 2, admin: true },
          { team: {}, level: 2, admin: true },
        ]) {
          expect(await verifyMatch(change)).toBe('claim_mismatch')
        }
      })

      it('POL-4 every mistake of a match is reported, with its path', () => {
        const match = {
          'https://sts.example/': { glob: '*' },
          a: { glob: 'repo:org*' },
          b: [],
          c: null,
          d: { regex: '.*' },
          '/act/act/sub': 'x',
        }
        expect(mistakes(world, member, { match })).toEqual([
          '/config/match/https:~1~1sts.example~1 unsafe',
          '/config/match/a unsafe',
          '/config/match/b range',
          '/config/match/c type',
          '/config/match/d type',
          '/config/match/~1act~1act~1sub unsafe',
        ])
        expect(mistakes(world, member, { match: [] })).toEqual(['/config/match type'])
      })
    })

    describe('RB-06 single use', () => {
      it('RB-06 the key is of method, issuer and jti, and outlives the token', async () => {
        const issuer = member.type === 'spiffe-jwt' ? 'spiffe://prod.example' : member.claims['iss']
        const result = await verifyClaims(world, member, { jti: 'id-1' }, { single_use: true })
        expect(result.ok && result.value.singleUse).toEqual({
          key: createHash('sha256')
            .update(JSON.stringify(['method-1', issuer, 'id-1']))
            .digest('hex'),
          expiresAt: Number(member.claims['exp']) + SKEW,
        })
      })

      it.each([[null], [''], [1], ['x'.repeat(1025)], [['a']]])(
        'RB-06 refuses the malformed jti %# where single use is configured',
        async (jti) => {
          const change = { jti }
          expect(outcome(await verifyClaims(world, member, change, { single_use: true }))).not.toBe(
            'accepted',
          )
        },
      )

      it('RB-06 asks for no jti, and consumes none, where it is not configured', async () => {
        const result = await verifyClaims(world, member, { jti: 'id-1' })
        expect(result.ok && 'singleUse' in result.value).toBe(false)
      })
    })

    describe('configuration', () => {
      it('a valid one has no mistakes', () => {
        expect(world.type.validate(policy(member))).toEqual([])
      })

      it('unknown members are refused with their path', () => {
        expect(mistakes(world, member, { audience: ['me'], 'a/b': 1 })).toEqual([
          '/config/audience unknown_member',
          '/config/a~1b unknown_member',
        ])
      })

      it('every mistake is reported at once', () => {
        const config = { audiences: ['', 'ok', 'ok', 7], single_use: 'yes', algorithms: 'RS256' }
        expect(mistakes(world, member, config)).toEqual([
          '/config/audiences/0 format',
          '/config/audiences/2 value',
          '/config/audiences/3 type',
          '/config/single_use type',
          '/config/algorithms type',
        ])
      })

      it.each([
        'https://kubernetes.default.svc',
        'https://kubernetes.default.svc.cluster.local',
        'sts.amazonaws.com',
        'https://github.com/acme',
        'https://vercel.com/acme',
        '*',
        'me*',
      ])('JW-05 K8-04 refuses the audience %s of somebody else', (audience) => {
        expect(mistakes(world, member, { audiences: [audience] })).toEqual([
          '/config/audiences/0 unsafe',
        ])
      })
    })

    it('accepts() judges the claims of an open session by every rule but time', async () => {
      const method = compiled(world, member, { match: { team: 'a' } })
      expect(method.accepts(claimsOf(member, { team: 'a', exp: NOW - DAY }))).toBe(true)
      expect(method.accepts(claimsOf(member, { team: 'b' }))).toBe(false)
      expect(method.accepts(claimsOf(member, { team: 'a', aud: 'x' }))).toBe(false)
      expect(method.accepts(claimsOf(member, { team: 'a', sub: 'x y' }))).toBe(
        member.type === 'oidc',
      )
    })
  })
}
