// The recipes for scheduled runs in docs/sessions.md, as they are printed.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { JsonObject } from '../../functions/core/identity.ts'
import { mistakes as signedMistakes } from './aws-iam-setup.ts'
import { createWorld, memberOf, mistakes } from './setup.ts'

const page = readFileSync(new URL('../../docs/sessions.md', import.meta.url), 'utf8')
const printed = [...page.matchAll(/```yaml\n(auth_methods:[\s\S]*?)```/g)].flatMap(
  ([, text = '']) =>
    (parse(text) as { auth_methods: { name: string; type: string; config: JsonObject }[] })
      .auth_methods,
)

describe('docs/sessions.md', () => {
  test('has a recipe for CronJobs, EventBridge and Cloud Scheduler', () => {
    expect(printed.map(({ type }) => type)).toEqual(['kubernetes', 'aws-iam', 'oidc'])
    for (const { config } of printed) {
      expect(config['origin']).toMatchObject({ kind: 'schedule', definition: expect.anything() })
    }
  })

  test.each(printed)('$name can be saved as it is printed', async ({ type, config }) => {
    if (type === 'aws-iam') return expect(signedMistakes(config)).toEqual([])
    const member = { ...memberOf(type), config: {} }
    expect(mistakes(await createWorld(member), member, config)).toEqual([])
  })
})
