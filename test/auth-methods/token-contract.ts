// The half of the family's contract that is about the token itself: algorithms, header, serialisation.
import { createHmac, createPublicKey } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../functions/core/identity.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { encoded, tokenIssuer } from '../fakes/token-issuer.ts'
import {
  claimsOf,
  compiled,
  createWorld,
  mistakes,
  outcome,
  type Member,
  type World,
} from './setup.ts'

export function jwtTokenContract(member: Member): void {
  let world: World
  beforeAll(async () => {
    world = await createWorld(member)
  })

  const verifyToken = (token: string, config: JsonObject = {}) =>
    compiled(world, member, config).verify({ tokenType: TOKEN_TYPES.jwt, token })
  const verifyHeader = async (header: JsonObject | string) =>
    outcome(await verifyToken(await world.issuer.sign(claimsOf(member), header)))
  const goodHeader = () => member.header(world.issuer)
  /** What the member takes besides the algorithm of its keys here. */
  const others = (member.algorithms ?? ['PS256', 'RS384', 'ES384']).filter(
    (alg) => alg !== member.alg,
  )

  describe(`tokens of ${member.type}`, () => {
    describe('RB-02 algorithms', () => {
      const names = ['none', 'None', 'NONE', 'nOnE', '', 'HS256', 'hs256', 'RS256 ', 'ES256K']
      it.each(names)('RB-02 AUTH-3 JB-01 refuses alg "%s"', async (alg) => {
        expect(await verifyHeader({ ...goodHeader(), alg })).toBe('algorithm_not_allowed')
      })

      it('RB-02 refuses a token that names no alg, or not by a text', async () => {
        const { alg: _, ...rest } = goodHeader()
        expect(await verifyHeader(rest)).toBe('algorithm_not_allowed')
        expect(await verifyHeader({ ...rest, alg: [member.alg] })).toBe('algorithm_not_allowed')
        expect(await verifyHeader({ ...rest, alg: null })).toBe('algorithm_not_allowed')
      })

      it('RB-02 JB-01 refuses an allowed alg that is not the one of the key', async () => {
        for (const alg of others) {
          expect(await verifyHeader({ ...goodHeader(), alg })).toBe('key_mismatch')
        }
      })

      it('RB-02 takes only the algorithms of the configuration', async () => {
        const token = await world.issuer.sign(claimsOf(member), goodHeader())
        expect(outcome(await verifyToken(token, { algorithms: others.slice(0, 1) }))).toBe(
          'algorithm_not_allowed',
        )
        expect(mistakes(world, member, { algorithms: ['HS256'] })).toEqual([
          '/config/algorithms/0 value',
        ])
        expect(mistakes(world, member, { algorithms: ['none', member.alg] })).toEqual([
          '/config/algorithms/0 value',
        ])
        expect(mistakes(world, member, { algorithms: [] })).toEqual(['/config/algorithms range'])
      })

      it('RB-02 refuses an HMAC made with the public key in any of its spellings', async () => {
        const key = createPublicKey({ key: { ...world.issuer.publicJwk }, format: 'jwk' })
        const pem = key.export({ type: 'spki', format: 'pem' }).toString()
        const der = key.export({ type: 'spki', format: 'der' })
        const secrets = [pem, der, `${pem}\n`, `\n${pem}`, JSON.stringify(world.issuer.publicJwk)]
        for (const secret of secrets) {
          for (const alg of ['HS256', member.alg]) {
            const input = `${encoded({ ...goodHeader(), alg })}.${encoded(claimsOf(member))}`
            const mac = createHmac('sha256', secret).update(input).digest('base64url')
            expect(outcome(await verifyToken(`${input}.${mac}`))).toBe(
              alg === 'HS256' ? 'algorithm_not_allowed' : 'bad_signature',
            )
          }
        }
      })

      it('JB-04 refuses a token that another key signed under the same kid', async () => {
        const forger = await tokenIssuer(member.alg, 'key-1', member.use)
        const token = await forger.sign(claimsOf(member), goodHeader())
        expect(outcome(await verifyToken(token))).toBe('bad_signature')
      })

      it('RB-13 refuses a payload that is not the one that was signed', async () => {
        const token = await world.issuer.sign(claimsOf(member), goodHeader())
        const [header, , signature] = token.split('.')
        const payload = encoded(claimsOf(member, { jti: 'changed' }))
        expect(outcome(await verifyToken(`${header}.${payload}.${signature}`))).toBe(
          'bad_signature',
        )
      })
    })

    describe('RB-04 headers', () => {
      const embedded: JsonObject = {
        jku: 'https://evil.example/jwks',
        x5u: 'https://evil.example/x5u',
        jwk: { kty: 'RSA', n: 'AQAB', e: 'AQAB' },
        x5c: ['MIIB'],
        crit: ['exp'],
        b64: false,
        zip: 'DEF',
        enc: 'A256GCM',
        p2c: 1_000_000,
        trust_chain: ['x'],
      }
      it.each(Object.keys(embedded))('RB-04 JB-05 JB-10 AUTH-3 refuses %s', async (name) => {
        world.keySets.asked.length = 0
        const header = { ...goodHeader(), [name]: embedded[name] ?? null }
        expect(await verifyHeader(header)).toBe('header_not_allowed')
        expect(world.keySets.asked).toEqual([])
      })

      it.each([[[]], ['x'], [['b64']]])('RB-04 JB-10 refuses crit %j', async (crit) => {
        expect(await verifyHeader({ ...goodHeader(), crit })).toBe('header_not_allowed')
      })

      it.each([[''], [null], [1], [['key-1']], ['k'.repeat(257)], ['a\nb'], ['k'.repeat(9_000)]])(
        'RB-04 C9 refuses the malformed kid %# without a look-up',
        async (kid) => {
          world.keySets.asked.length = 0
          expect(await verifyHeader({ ...goodHeader(), kid })).toBe('header_not_allowed')
          expect(world.keySets.asked).toEqual([])
        },
      )

      it('RB-04 C9 refuses a token without kid', async () => {
        const { kid: _, ...rest } = goodHeader()
        expect(await verifyHeader(rest)).toBe('header_not_allowed')
      })

      it.each([
        '../../etc/passwd',
        "' OR 1=1--",
        '__proto__',
        'constructor',
        'a:b',
        'a|b',
        'a/b',
        'KEY-1',
        'key-1 ',
      ])('RB-04 JB-05 takes kid "%s" for a name and nothing else', async (kid) => {
        expect(await verifyHeader({ ...goodHeader(), kid })).toBe('unknown_key')
      })

      it.each([
        'at+jwt',
        'application/at+jwt',
        'logout+jwt',
        'secevent+jwt',
        'dpop+jwt',
        'oauth-id-jag+jwt',
        'txntoken+jwt',
        'wit+jwt',
        'wpt+jwt',
        'client-authentication+jwt',
        'JWT ',
        '',
        'x',
      ])('JW-12 JB-06 JB-07 AUTH-5 refuses typ "%s"', async (typ) => {
        expect(await verifyHeader({ ...goodHeader(), typ })).toBe('type_not_allowed')
      })

      it('JW-12 refuses a typ that is not a text, and takes its absence', async () => {
        expect(await verifyHeader({ ...goodHeader(), typ: null })).toBe('type_not_allowed')
        expect(await verifyHeader({ ...goodHeader(), typ: ['JWT'] })).toBe('type_not_allowed')
        const { typ: _, ...rest } = goodHeader()
        expect(await verifyHeader(rest)).toBe('accepted')
      })

      it('RB-10 refuses duplicate members in header and payload', async () => {
        const header = JSON.stringify(goodHeader())
        expect(await verifyHeader(header.replace('{', `{"kid":"other",`))).toBe('malformed')
        const payload = JSON.stringify(claimsOf(member))
        const token = await world.issuer.sign(payload.replace('{', '{"sub":"a",'), goodHeader())
        expect(outcome(await verifyToken(token))).toBe('malformed')
      })
    })

    it.each(['[]', '"text"', 'null', '7', '[{"exp":9999999999}]', '{', ''])(
      'JB-02 refuses the payload %j',
      async (payload) => {
        const token = await world.issuer.sign(payload, goodHeader())
        expect(outcome(await verifyToken(token))).toBe('malformed')
      },
    )

    it('JB-02 JB-03 refuses what is not a compact JWS', async () => {
      const token = await world.issuer.sign(claimsOf(member), goodHeader())
      const [header = '', payload = '', signature = ''] = token.split('.')
      const forms = [
        '',
        'abc',
        `${header}.${payload}`,
        `${header}.${payload}.`,
        `${header}..${signature}`,
        `${token}.`,
        `${token}.a.b`,
        ` ${token}`,
        `${token}\n`,
        `${token}=`,
        JSON.stringify({ protected: header, payload, signature }),
        `${header}.${payload}.${signature}${'A'.repeat(20_000)}`,
      ]
      for (const form of forms) expect(outcome(await verifyToken(form))).toBe('malformed')
    })
  })
}
