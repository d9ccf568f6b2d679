import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compileSessionPolicy,
  MAX_POLICY_LENGTH,
  type SessionPolicy,
  type SessionPolicyRequest,
} from '../../functions/actions/aws-policy.ts'
import { loadAwsActions } from '../../functions/actions/aws-table.ts'
import { expandClaims } from '../../functions/core/arn-pattern.ts'
import { grantsAllow } from '../../functions/core/grants.ts'
import { type Effect, EFFECTS, type Grant } from '../../functions/core/policy.ts'
import { effectsOf } from '../../scripts/aws-effects.ts'
import { arnsOf, isKept, readServices } from '../../scripts/aws-services.ts'
import { globMatches, iamAllows } from '../fakes/iam.ts'

const table = await loadAwsActions()

function compile(grants: readonly Grant[], endsAt: SessionPolicyRequest['endsAt'] = null) {
  return compileSessionPolicy({ grants, endsAt }, table)
}

function compiled(
  grants: readonly Grant[],
  endsAt: SessionPolicyRequest['endsAt'] = null,
): SessionPolicy {
  const result = compile(grants, endsAt)
  if (!result.ok) throw new Error(JSON.stringify(result.failure))
  return result.value
}

function grant(effects: readonly Effect[], ...objects: readonly string[]): Grant {
  return { effects, objects }
}

function actionsOf(document: string): readonly string[] {
  const { Statement } = JSON.parse(document) as {
    Statement: readonly { Effect: string; Action: string | readonly string[] }[]
  }
  return Statement.flatMap(({ Effect, Action }) => (Effect === 'Allow' ? [Action].flat() : []))
}

const REPORTS = 'arn:aws:s3:::reports/*'
const ORDERS = 'arn:aws:dynamodb:eu-west-1:123456789012:table/orders'
const END = 1_800_000_000

describe('a session policy', () => {
  test('names exactly the actions of the effect that the resource can have', () => {
    const { document, effects, objects } = compiled([grant(['delete'], REPORTS)])
    expect(document).toBe(
      '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:DeleteObject",' +
        '"s3:DeleteObjectAnnotation","s3:DeleteObjectVersion","s3:DeleteObjectVersionAnnotation",' +
        '"s3:ReplicateDelete"],"Resource":"arn:aws:s3:::reports/*"}]}',
    )
    expect(effects).toEqual(['delete'])
    expect(objects).toEqual([REPORTS])
  })

  test('is the same whatever the order of what is granted', () => {
    const grants = [grant(['read', 'write'], REPORTS, ORDERS), grant(['send'], 'arn:aws:sqs:*:1:q')]
    const other = [
      grant(['send'], 'arn:aws:sqs:*:1:q'),
      grant(['write'], ORDERS),
      grant(['read'], ORDERS, REPORTS),
      grant(['write'], REPORTS),
    ]
    expect(compiled(other)).toEqual(compiled(grants))
  })

  test('has an action with two effects only where both are granted', () => {
    const write = 'dynamodb:BatchWriteItem'
    expect(actionsOf(compiled([grant(['write'], ORDERS)]).document)).not.toContain(write)
    expect(actionsOf(compiled([grant(['delete'], ORDERS)]).document)).not.toContain(write)
    const both = [grant(['write'], ORDERS), grant(['delete'], 'arn:aws:dynamodb:*:*:table/*')]
    const allowed = (resource: string) =>
      iamAllows(compiled(both).document, { action: write, resource })
    expect(allowed(ORDERS)).toBe(true)
    expect(allowed('arn:aws:dynamodb:eu-west-1:123456789012:table/other')).toBe(false)
  })

  test('an action without resources is in it only where the object is the whole service', () => {
    const action = 'ec2:DescribeInstances'
    for (const object of ['arn:aws:ec2:*:*:instance/*', 'arn:aws:ec2:eu-west-1:*:*']) {
      const result = compile([grant(['read'], object)])
      if (!result.ok) continue
      expect(iamAllows(result.value.document, { action, resource: '*' })).toBe(false)
      expect(result.value.document).not.toContain('"Resource":"*"')
    }
    const whole = compiled([grant(['read'], 'arn:aws:ec2:*:*:*')])
    expect(iamAllows(whole.document, { action, resource: '*' })).toBe(true)
    const request = { action: 'ec2:TerminateInstances', resource: 'arn:aws:ec2:eu:1:instance/i' }
    expect(iamAllows(whole.document, request)).toBe(false)
    expect(iamAllows(whole.document, { ...request, action: 'ec2:GetPasswordData' })).toBe(false)
  })

  test('a whole service that limits every action says its ARN, and not `*`', () => {
    const { document } = compiled([grant(['send'], 'arn:aws:sqs:*:*:*')])
    expect(document).toContain('"Resource":"arn:aws:sqs:*:*:*"')
  })

  test('is refused where there is nothing to grant, or nothing that AWS has', () => {
    expect(compile([])).toMatchObject({ failure: { reason: 'empty' } })
    expect(compile([grant(['read'])])).toMatchObject({ failure: { reason: 'empty' } })
    for (const [effect, object] of [
      ['send', REPORTS],
      ['read', '*'],
      ['read', 'GET /v1'],
      ['read', 'arn:aws:nothing:::a'],
      ['read', 'arn:aws:s3:::${claims.team}'],
      ['read', 'arn:aws:s3'],
    ] as const) {
      const result = compile([grant([effect], object)])
      expect(result, object).toMatchObject({ failure: { reason: 'not_expressible' } })
    }
    const two = [grant(['read'], REPORTS), grant(['read'], 'arn:aws-cn:s3:::a/*')]
    expect(compile(two)).toMatchObject({ failure: { reason: 'not_expressible' } })
  })

  test('says what it grants, and no object or effect that selected nothing', () => {
    const policy = compiled([grant(['read', 'send'], REPORTS, 'arn:aws:s3:::reports/')])
    expect(policy.effects).toEqual(['read'])
    const mixed = compiled([grant(['read'], ORDERS), grant(['send'], ORDERS, 'arn:aws:sns:*:*:t')])
    expect(mixed.grants).toEqual([grant(['read'], ORDERS), grant(['send'], 'arn:aws:sns:*:*:t')])
  })

  test('says for a part only what the whole does not have', () => {
    const { document, grants } = compiled([
      grant(['read'], REPORTS),
      grant(['delete'], 'arn:aws:s3:::reports/old/*'),
    ])
    expect(grants).toEqual([
      grant(['read'], REPORTS),
      grant(['delete'], 'arn:aws:s3:::reports/old/*'),
    ])
    const allows = (action: string, key: string) =>
      iamAllows(document, { action, resource: `arn:aws:s3:::reports/${key}` })
    expect(allows('s3:GetObject', 'old/a')).toBe(true)
    expect(allows('s3:DeleteObject', 'old/a')).toBe(true)
    expect(allows('s3:DeleteObject', 'new/a')).toBe(false)
    expect(document.match(/s3:GetObject"/g)).toHaveLength(1)
  })

  test('keeps the escapes of a claim, and means only what the claim says', () => {
    const template = [grant(['read'], 'arn:aws:s3:::home/${claims.team}/*')]
    const expanded = expandClaims(template, { claims: { team: '*' }, subject: null })
    const { document } = compiled(expanded)
    expect(document).toContain('"Resource":"arn:aws:s3:::home/${*}/*"')
    const allows = (resource: string) => iamAllows(document, { action: 's3:GetObject', resource })
    expect(allows('arn:aws:s3:::home/*/a')).toBe(true)
    expect(allows('arn:aws:s3:::home/other/a')).toBe(false)
  })

  test('holds quotes, backslashes and other alphabets as JSON does, in ASCII', () => {
    const object = 'arn:aws:s3:::b/"\\é😀/*'
    const { document } = compiled([grant(['read'], object)])
    expect(/^[\x20-\x7e]*$/.test(document)).toBe(true)
    expect(JSON.parse(document)).toMatchObject({ Statement: [{ Resource: object }] })
  })
})

describe('SC-01 the end of a session policy', () => {
  const at = (seconds: number) => new Date(seconds * 1000).toISOString()

  test.each([
    ['one statement', [grant(['read'], REPORTS)]],
    [
      'several',
      [
        grant(['read'], REPORTS),
        grant(['write'], 'arn:aws:sqs:*:1:q'),
        grant(['send'], 'arn:aws:sns:*:1:t'),
      ],
    ],
  ])('holds to the second: %s', (_, grants) => {
    const { document } = compiled(grants, END)
    const request = { action: 's3:GetObject', resource: 'arn:aws:s3:::reports/a' }
    expect(iamAllows(document, { ...request, time: at(END - 1) })).toBe(true)
    expect(iamAllows(document, { ...request, time: at(END) })).toBe(false)
    expect(iamAllows(document, { ...request, time: at(END + 86_400) })).toBe(false)
  })

  test('takes the shorter of its two forms', () => {
    const one = compiled([grant(['read'], REPORTS)], END).document
    expect(one).toContain('DateLessThan')
    expect(one).not.toContain('Deny')
    const three = [
      grant(['read'], REPORTS),
      grant(['send'], 'arn:aws:sns:*:1:t'),
      grant(['send'], 'arn:aws:sqs:*:1:q'),
    ]
    const several = compiled(three, END).document
    expect(several).toContain('"Effect":"Deny","Action":"*","Resource":"*"')
    expect(several).not.toContain('DateLessThan')
  })
})

describe('SC-03 the length of a session policy', () => {
  /** As long as `length`, by the names of its buckets; no prefix makes it shorter. */
  function ofLength(length: number): readonly Grant[] {
    const objects = ['arn:aws:sns:*:1:a', 'arn:aws:sns:*:1:b', 'arn:aws:sns:*:1:c']
    const sized = (extra: number) => [
      grant(
        ['send'],
        ...objects.map((object, i) => object + 'x'.repeat(Math.floor((extra + i) / 3))),
      ),
    ]
    return sized(length - compiled(sized(0)).document.length)
  }

  test('2,048 characters are handed over, 2,049 refused', () => {
    const fits = compiled(ofLength(MAX_POLICY_LENGTH))
    expect(fits.document.length).toBe(2048)
    const result = compile(ofLength(MAX_POLICY_LENGTH + 1))
    expect(result).toMatchObject({ failure: { reason: 'policy_too_large' } })
    expect(!result.ok && result.failure.hint).toContain('2049 characters')
  })

  test('the condition of its end counts', () => {
    expect(compile(ofLength(MAX_POLICY_LENGTH), END).ok).toBe(false)
  })

  test('exact names stay where they fit', () => {
    const actions = actionsOf(compiled([grant(['read'], REPORTS)]).document)
    expect(actions.length).toBeGreaterThan(10)
    expect(actions.filter((action) => action.includes('*'))).toEqual([])
  })

  test('a prefix stands only for actions that are granted, and only where names do not fit', () => {
    const objects = Array.from(
      { length: 36 },
      (_, i) => `arn:aws:s3:::bucket-${String(i)}/reports/*`,
    )
    const { document } = compiled([grant(['read'], ...objects, 'arn:aws:s3:::reports')])
    expect(document.length).toBeLessThanOrEqual(MAX_POLICY_LENGTH)
    const prefixes = actionsOf(document).filter((action) => action.endsWith('*'))
    expect(prefixes.length).toBeGreaterThan(0)
    const others = table.service('s3')?.actions.filter(({ effects }) => effects.join() !== 'read')
    for (const { name } of others ?? []) {
      expect(prefixes.filter((prefix) => globMatches(prefix, `s3:${name}`))).toEqual([])
    }
  })

  test('too many objects are refused at once, with how to ask instead', () => {
    const many = Array.from({ length: 1000 }, (_, i) => `arn:aws:s3:::bucket-${String(i)}/*`)
    for (const count of [100, 1000]) {
      const result = compile([grant(['read'], ...many.slice(0, count))])
      expect(result).toMatchObject({ failure: { reason: 'policy_too_large' } })
    }
  })
})

const services = readServices().filter(isKept)
const byName = new Map(services.map((service) => [service.name, service]))

/** What may be asked of AWS: an action on a resource of one of its types, or on `*`. */
function requests(service: string, names: readonly string[]) {
  const reference = byName.get(service)
  return (reference?.actions ?? []).flatMap((action) => {
    const { name } = action
    const effects = effectsOf({ service, ...action })
    const formats = reference === undefined ? [] : arnsOf(action, reference)
    const resources = formats.flatMap((format) => names.map((text) => concrete(format, text)))
    const each = formats.length === 0 ? ['*'] : resources
    return each.map((resource) => ({ action: `${service}:${name}`, effects, resource }))
  })
}

function concrete(format: string, name: string): string {
  let at = 0
  return format.replace(/\*/g, () => {
    at += 1
    return at === 1 ? 'aws' : name
  })
}

/** An effect on a resource, as the grants have it; `*` only by a whole service. */
function isGranted(
  grants: readonly Grant[],
  { action, effects, resource }: ReturnType<typeof requests>[number],
): boolean {
  const service = action.split(':')[0] ?? ''
  return effects.every((effect) =>
    grants.some(
      (one) =>
        one.effects.includes(effect) &&
        one.objects.some((object) =>
          resource === '*' ? object === `arn:aws:${service}:*:*:*` : globMatches(object, resource),
        ),
    ),
  )
}

const NAMES = ['a', 'b', 'ab']
const someService = fc.oneof(
  fc.constantFrom('s3', 'dynamodb', 'sqs', 'lambda', 'iam', 'kms', 'ssm', 'ec2', 'states', 'logs'),
  fc.constantFrom(...services.map(({ name }) => name)),
)
const someEffects = fc.uniqueArray(fc.constantFrom(...EFFECTS), { minLength: 1, maxLength: 3 })

/** A grant on a resource of one of the service's types, or on all that it has. */
function grantOn(service: string): fc.Arbitrary<Grant> {
  const formats = [...new Set([...(byName.get(service)?.arns.values() ?? [])].flat())]
  const object = fc
    .tuple(fc.constantFrom(...formats), fc.constantFrom('a', '*', 'a*', '?'), fc.boolean())
    .map(([format, name, isWhole]) =>
      isWhole && name === '*' ? `arn:aws:${service}:*:*:*` : concrete(format, name),
    )
  const objects = fc.uniqueArray(object, { minLength: 1, maxLength: 3 })
  return fc.record({ effects: someEffects, objects })
}

const world = fc.uniqueArray(someService, { minLength: 1, maxLength: 2 }).chain((names) =>
  fc.record({
    names: fc.constant(names),
    grants: fc.array(fc.oneof(...names.map(grantOn)), { minLength: 1, maxLength: 3 }),
  }),
)

describe('resources of another service', () => {
  const request = {
    action: 'ssm:SendCommand',
    resource: 'arn:aws:ec2:eu-west-1:1:instance/i-1',
  }
  const instance = grant(['execute'], 'arn:aws:ec2:*:*:instance/i-1')
  const documents = grant(['execute'], 'arn:aws:ssm:*:*:document/restart')

  test('are reached by an action only where both services are granted', () => {
    expect(iamAllows(compiled([instance]).document, request)).toBe(false)
    expect(iamAllows(compiled([documents]).document, request)).toBe(false)
    expect(iamAllows(compiled([instance, documents]).document, request)).toBe(true)
    const reading = [{ ...instance, effects: ['read'] as const }, documents]
    expect(iamAllows(compiled(reading).document, request)).toBe(false)
  })
})

describe('what a session policy allows', () => {
  test('is granted: no action of another effect, on no other resource', () => {
    let documents = 0
    let allowed = 0
    fc.assert(
      fc.property(world, ({ names, grants }) => {
        const result = compile(grants)
        if (!result.ok) return
        documents += 1
        for (const request of names.flatMap((name) => requests(name, NAMES))) {
          if (!iamAllows(result.value.document, request)) continue
          allowed += 1
          expect(isGranted(grants, request), JSON.stringify({ grants, request })).toBe(true)
        }
      }),
      { numRuns: 100 },
    )
    expect(documents).toBeGreaterThan(50)
    expect(allowed).toBeGreaterThan(500)
  }, 120_000)

  test('is all that is granted', () => {
    fc.assert(
      fc.property(world, ({ names, grants }) => {
        const result = compile(grants)
        if (!result.ok) return
        for (const request of names.flatMap((name) => requests(name, NAMES))) {
          // Of the resources of another service only those are meant whose service is granted, too.
          const isOwn =
            request.resource === '*' ||
            request.resource.split(':')[2] === request.action.split(':')[0]
          if (!isOwn || !isGranted(grants, request)) continue
          expect(
            iamAllows(result.value.document, request),
            JSON.stringify({ grants, request }),
          ).toBe(true)
        }
      }),
      { numRuns: 100 },
    )
  }, 120_000)

  test('and what it says of itself is granted, within the limit, and the same again', () => {
    fc.assert(
      fc.property(world, ({ grants }) => {
        const result = compile(grants, END)
        if (!result.ok) return
        expect(result.value.document.length).toBeLessThanOrEqual(MAX_POLICY_LENGTH)
        for (const { effects, objects } of result.value.grants) {
          expect(grantsAllow(grants, effects, objects)).toBe(true)
        }
        expect(compile([...grants].reverse(), END)).toEqual(result)
      }),
      { numRuns: 100 },
    )
  }, 120_000)
})
