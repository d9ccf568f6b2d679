import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MintFacts } from '../../functions/core/minting.ts'
import { awsNames } from '../../functions/targets/aws-names.ts'
import { mintFactsOf } from '../fakes/mint-facts.ts'

const names = (changes: Partial<MintFacts>) => awsNames(mintFactsOf(changes))
const tag = (changes: Partial<MintFacts>, key: string) =>
  names(changes).tags.find((one) => one.key === key)?.value

const NAME = /^[A-Za-z0-9_=,.@-]{2,64}$/
const TAG_KEY = /^sallyport_[a-z_]{1,118}$/
const TAG_VALUE = /^[A-Za-z0-9 _.:/=+@-]{1,256}$/

const SUBJECTS = [
  'spiffe://prod.example/ns/analytics/sa/bot',
  'spiffe://prod.example/ns/analytics/sa:bot',
  'system:serviceaccount:analytics:bot',
  'arn:aws:sts::123456789012:assumed-role/agents/i-123',
  'arn-aws-sts--123456789012-assumed-role-agents-i-123',
  'repo:org/app:ref:refs/heads/main',
  'aws:me',
  'AWS:me',
  'ana@example.com',
  'Ana@example.com',
  'aña@example.com',
  'an\u0303a@example.com',
  '用户',
  '😀',
  '\ud83d',
  '\ude00',
  '\ufffd',
  'a',
  'a ',
  ' a',
  ' ',
  '  ',
  'a\u00a0',
  'a\n',
  'a+b',
  'a*b',
  'a'.repeat(64),
  'a'.repeat(65),
  'b' + 'a'.repeat(64),
  'a'.repeat(256),
  'a'.repeat(257),
  'x' + 'a'.repeat(256),
  'a'.repeat(2000),
  `a=${'0'.repeat(40)}`,
  `a=${'0'.repeat(39)}`,
]
const subject = fc.oneof(
  fc.constantFrom(...SUBJECTS),
  fc.string({ unit: fc.constantFrom(...'aA:/+ .=-*é') }),
  fc.string({ unit: 'binary' }),
)

describe('SC-06 names of a session in AWS', () => {
  test('what fits is itself', () => {
    const { roleSessionName, sourceIdentity } = names({
      sessionId: 'ses_01k7',
      authMethod: 'people',
      subject: 'ana@example.com',
    })
    expect(roleSessionName).toBe('ses_01k7')
    expect(sourceIdentity).toBe('people=ana@example.com')
  })

  test('what does not keeps its end and a hash of all of it', () => {
    const { sourceIdentity } = names({
      authMethod: 'k8s',
      subject: 'system:serviceaccount:analytics:bot',
    })
    expect(sourceIdentity).toMatch(/^[a-z-]{10}analytics-bot=[0-9a-f]{40}$/)
  })

  test('have the characters and the length that AWS takes, whatever the identity is', () => {
    fc.assert(
      fc.property(subject, subject, (sessionId, identity) => {
        const { roleSessionName, sourceIdentity } = names({ sessionId, subject: identity })
        expect(roleSessionName).toMatch(NAME)
        expect(sourceIdentity).toMatch(NAME)
        expect(sourceIdentity.toLowerCase().startsWith('aws:')).toBe(false)
      }),
      { numRuns: 2_000 },
    )
  })

  test('two identities never have the same one', () => {
    fc.assert(
      fc.property(subject, subject, (one, other) => {
        fc.pre(one !== other)
        expect(names({ subject: one }).sourceIdentity).not.toBe(
          names({ subject: other }).sourceIdentity,
        )
      }),
      { numRuns: 5_000 },
    )
    expect(new Set(SUBJECTS.map((one) => names({ subject: one }).sourceIdentity)).size).toBe(
      SUBJECTS.length,
    )
  })

  test('an identity that is written as the name of another one is not it', () => {
    for (const one of SUBJECTS) {
      const { sourceIdentity } = names({ authMethod: 'm', subject: one })
      const posing = sourceIdentity.replace(/^m=/, '')
      if (posing === one) continue
      expect(names({ authMethod: 'm', subject: posing }).sourceIdentity).not.toBe(sourceIdentity)
    }
    const apart = names({ authMethod: 'a', subject: 'b=c' }).sourceIdentity
    expect(apart).toBe('a=b=c')
  })
})

describe('SC-05 session tags', () => {
  test('say which session, who acts, for whom, and why, declared apart from attested', () => {
    const { tags } = names({
      sessionId: 'ses_2',
      authMethod: 'prod-k8s',
      subject: 'system:serviceaccount:analytics:bot',
      attestedOrigin: { kind: 'schedule', id: 'nightly' },
      intent: {
        type: 'agent_intent',
        purpose: 'p',
        agent: { name: 'revenue-bot', version: '3.2.0' },
        origin: { kind: 'user', id: 'run-812' },
      },
    })
    expect(Object.fromEntries(tags.map(({ key, value }) => [key, value]))).toEqual({
      sallyport_session: 'ses_2',
      sallyport_method: 'prod-k8s',
      sallyport_subject: 'system:serviceaccount:analytics:bot',
      sallyport_origin: 'schedule/nightly',
      sallyport_declared_agent: 'revenue-bot/3.2.0',
      sallyport_declared_origin: 'user/run-812',
    })
  })

  test('what is not known has no tag', () => {
    const keys = names({ intent: null, attestedOrigin: null, onBehalfOf: null }).tags.map(
      ({ key }) => key,
    )
    expect(keys).toEqual(['sallyport_session', 'sallyport_method', 'sallyport_subject'])
  })

  test('fit, and no key stands twice in any case', () => {
    fc.assert(
      fc.property(subject, subject, (one, other) => {
        const { tags } = names({
          subject: one,
          intent: { type: 'agent_intent', purpose: 'p', agent: { name: other, version: one } },
          attestedOrigin: { kind: other, id: one },
        })
        expect(tags.length).toBeLessThanOrEqual(50)
        expect(new Set(tags.map(({ key }) => key.toLowerCase())).size).toBe(tags.length)
        for (const { key, value } of tags) {
          expect(key).toMatch(TAG_KEY)
          expect(value).toMatch(TAG_VALUE)
          expect(value.trim()).toBe(value)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('two subjects never have the same value', () => {
    fc.assert(
      fc.property(subject, subject, (one, other) => {
        fc.pre(one !== other && one !== '' && other !== '')
        expect(tag({ subject: one }, 'sallyport_subject')).not.toBe(
          tag({ subject: other }, 'sallyport_subject'),
        )
      }),
      { numRuns: 5_000 },
    )
  })

  test('parts of a declared agent do not run into each other', () => {
    const agent = (name: string, version: string) =>
      tag(
        { intent: { type: 'agent_intent', purpose: 'p', agent: { name, version } } },
        'sallyport_declared_agent',
      )
    expect(agent('a/b', 'c')).not.toBe(agent('a', 'b/c'))
    expect(agent('a+s', 'c')).not.toBe(agent('a/', 'c'))
    expect(agent('a', 'b')).toBe('a/b')
  })
})
