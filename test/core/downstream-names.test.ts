import { describe, expect, test } from 'vitest'
import { targetsNamed } from '../../functions/core/downstream-names.ts'
import type { Minting } from '../../functions/core/minting.ts'
import type { PolicySnapshot } from '../../functions/core/snapshot.ts'
import type { CompiledTarget } from '../../functions/core/target.ts'
import { TOKEN_TYPES } from '../../functions/core/token.ts'
import { target } from '../fakes/policy-objects.ts'

const never = () => Promise.reject(new Error('not part of this test'))

function compiled(name: string, minting?: Pick<Minting, 'tokenType' | 'knownAs'>): CompiledTarget {
  return {
    policy: target({ name }),
    ...(minting === undefined ? {} : { minting: { ...minting, plan: never, mint: never } }),
    normalise: never,
    fingerprint: never,
    call: never,
  }
}

const idJag = (...knownAs: readonly string[]) => ({ tokenType: TOKEN_TYPES.idJag, knownAs })
const targets = [
  compiled('crm'),
  compiled('calendar', idJag('https://ras.example', 'https://ras.example/calendar')),
  compiled('files', idJag('https://ras.example', 'https://ras.example/files')),
  compiled('chat', idJag('https://chat.example')),
  compiled('mesh', { tokenType: TOKEN_TYPES.txnToken, knownAs: ['crm', 'prod.example'] }),
  compiled('lake', { tokenType: TOKEN_TYPES.awsCredentials }),
]
const snapshot: PolicySnapshot = {
  revision: 1,
  userMethods: new Set(),
  methodsBySelector: new Map(),
  methods: new Map(),
  targets: new Map(targets.map((one) => [one.policy.name, one])),
  intentPolicies: new Map(),
}
const named = (asked: readonly string[], requestedType: string = TOKEN_TYPES.idJag) =>
  targetsNamed({ targets: asked, requestedType }, snapshot)

describe('a target that issues tokens is named', () => {
  test('by its own name, whatever another is called downstream', () => {
    expect(named(['chat'])).toEqual(['chat'])
    expect(named(['crm'], TOKEN_TYPES.txnToken)).toEqual(['crm'])
  })

  test('by what the downstream is called, all of which has to fit one target', () => {
    expect(named(['https://chat.example'])).toEqual(['chat'])
    expect(named(['https://ras.example', 'https://ras.example/files'])).toEqual(['files'])
    expect(named(['files', 'https://ras.example/files'])).toEqual(['files'])
    expect(named(['prod.example'], TOKEN_TYPES.txnToken)).toEqual(['mesh'])
  })

  test.each([
    ['two servers', ['https://ras.example', 'https://chat.example']],
    ['a server that two targets are for', ['https://ras.example']],
    ['another spelling', ['https://chat.example/']],
    ['a trust domain', ['prod.example']],
    ['nothing that is known', ['https://elsewhere.example']],
  ])('by %s: nothing is guessed, it stays unknown', (_, asked) => {
    expect(named(asked)).toEqual(asked)
  })

  test('beside another target: both are asked for', () => {
    expect(named(['crm', 'https://chat.example'])).toEqual(['crm', 'chat'])
  })

  test('for a token of its own type alone', () => {
    for (const type of [TOKEN_TYPES.accessToken, TOKEN_TYPES.txnToken]) {
      expect(named(['https://chat.example'], type)).toEqual(['https://chat.example'])
    }
  })
})
