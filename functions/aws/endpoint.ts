// Where AWS is called: the regional host of the partition's table (SC-09), or the endpoint that the
// deployment names in its environment as AWS's SDKs know it. Never a host that a caller wrote.
import { isLoopbackHost } from '../config.ts'
import { fail, ok, type Result } from '../core/result.ts'
import type { AwsEndpoint, AwsService } from './contract.ts'
import { awsRegion, iamHost, serviceHosts } from './partitions.ts'

type Env = (name: string) => string | undefined

export type EndpointMistake = 'unknown_region' | 'not_a_url' | 'not_an_origin' | 'scheme'

export type EndpointQuestion = {
  readonly service: AwsService
  readonly region: string
  /** Goes before the environment. */
  readonly override?: string
  readonly env: Env
  /** SALLYPORT_ALLOW_INSECURE_LOOPBACK: plain http; the transport then holds it to loopback. */
  readonly loopback: boolean
}

const ENDPOINT_SETTINGS: Readonly<Record<AwsService, string>> = {
  sts: 'AWS_ENDPOINT_URL_STS',
  secretsmanager: 'AWS_ENDPOINT_URL_SECRETS_MANAGER',
  ssm: 'AWS_ENDPOINT_URL_SSM',
  iam: 'AWS_ENDPOINT_URL_IAM',
}

/** One region, one endpoint: there is no second one to fall back to. */
export function awsEndpoint(question: EndpointQuestion): Result<AwsEndpoint, EndpointMistake> {
  const { service, env, loopback } = question
  const region = awsRegion(question.region)
  if (region === undefined) return fail('unknown_region')
  const own =
    service === 'iam'
      ? iamHost(region)
      : { host: serviceHosts(service, region)[0] ?? '', scope: region.name }
  const text = question.override ?? configuredEndpoint(service, env) ?? `https://${own.host}`
  const url = endpointUrl(text, loopback)
  if (!url.ok) return url
  return ok({ service, url: url.value, region: own.scope, partition: region.partition })
}

/** `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` switches them off, as it does for the SDKs. */
function configuredEndpoint(service: AwsService, env: Env): string | undefined {
  if (env('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS')?.toLowerCase() === 'true') return undefined
  return set(env(ENDPOINT_SETTINGS[service])) ?? set(env('AWS_ENDPOINT_URL'))
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

/** An origin and nothing more; https but for a loopback address in development. */
export function endpointUrl(
  text: string,
  loopback: boolean,
): Result<URL, Exclude<EndpointMistake, 'unknown_region'>> {
  if (!URL.canParse(text)) return fail('not_a_url')
  const url = new URL(text)
  if (
    url.protocol !== 'https:' &&
    !(url.protocol === 'http:' && loopback && isLoopbackHost(url.hostname))
  ) {
    return fail('scheme')
  }
  return url.href === `${url.origin}/` ? ok(url) : fail('not_an_origin')
}
