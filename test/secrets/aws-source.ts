// A source of AWS's with AWS played by a table of answers; the questions that reach it are kept.
import type { AwsSecretFault, AwsSecretQuestion } from '../../functions/aws/secrets-contract.ts'
import { ok, type Result } from '../../functions/core/result.ts'
import type { AwsSourceDeps } from '../../functions/secrets/aws-source.ts'

export function awsSourceWorld(region: string | null = 'eu-west-1') {
  const asked: AwsSecretQuestion[] = []
  const logged: unknown[] = []
  const world = {
    asked,
    logged,
    nowMs: 1_800_000_000_000,
    answer: ok('') as Result<string, AwsSecretFault>,
  }
  const deps: AwsSourceDeps = {
    region,
    reader: async () => async (question) => {
      asked.push(question)
      return world.answer
    },
    clock: { nowMs: () => world.nowMs, nowSeconds: () => Math.floor(world.nowMs / 1000) },
    log: (...line) => logged.push(line),
  }
  return { world, deps }
}
