// Where STS is, by partition and region: data, so that no host is ever made of what a caller wrote
// (AW-02, RB-08). A region that AWS adds works here once its row is added.

type Partition = {
  readonly suffix: string
  readonly dualStackSuffix?: string
  readonly regions: readonly string[]
  /** Regions with an `sts-fips` host of their own. */
  readonly fips?: readonly string[]
}

const PARTITIONS: Readonly<Record<string, Partition>> = {
  aws: {
    suffix: 'amazonaws.com',
    dualStackSuffix: 'api.aws',
    regions: [
      'af-south-1',
      'ap-east-1',
      'ap-east-2',
      'ap-northeast-1',
      'ap-northeast-2',
      'ap-northeast-3',
      'ap-south-1',
      'ap-south-2',
      'ap-southeast-1',
      'ap-southeast-2',
      'ap-southeast-3',
      'ap-southeast-4',
      'ap-southeast-5',
      'ap-southeast-6',
      'ap-southeast-7',
      'ca-central-1',
      'ca-west-1',
      'eu-central-1',
      'eu-central-2',
      'eu-north-1',
      'eu-south-1',
      'eu-south-2',
      'eu-west-1',
      'eu-west-2',
      'eu-west-3',
      'il-central-1',
      'me-central-1',
      'me-south-1',
      'mx-central-1',
      'sa-east-1',
      'us-east-1',
      'us-east-2',
      'us-west-1',
      'us-west-2',
    ],
    fips: ['us-east-1', 'us-east-2', 'us-west-1', 'us-west-2'],
  },
  'aws-cn': {
    suffix: 'amazonaws.com.cn',
    dualStackSuffix: 'api.amazonwebservices.com.cn',
    regions: ['cn-north-1', 'cn-northwest-1'],
  },
  'aws-us-gov': {
    suffix: 'amazonaws.com',
    dualStackSuffix: 'api.aws',
    regions: ['us-gov-east-1', 'us-gov-west-1'],
  },
  'aws-eusc': {
    suffix: 'amazonaws.eu',
    dualStackSuffix: 'api.amazonwebservices.eu',
    regions: ['eusc-de-east-1'],
  },
  'aws-iso': { suffix: 'c2s.ic.gov', regions: ['us-iso-east-1', 'us-iso-west-1'] },
  'aws-iso-b': { suffix: 'sc2s.sgov.gov', regions: ['us-isob-east-1', 'us-isob-west-1'] },
  'aws-iso-e': { suffix: 'cloud.adc-e.uk', regions: ['eu-isoe-west-1'] },
  'aws-iso-f': { suffix: 'csp.hci.ic.gov', regions: ['us-isof-east-1', 'us-isof-south-1'] },
}

export type StsRegion = {
  readonly partition: string
  /** The region in the scope of a signature made for it. */
  readonly scope: string
  readonly hosts: readonly string[]
}

/** The name that allows `sts.amazonaws.com`, whose signatures are made for us-east-1. */
const GLOBAL = 'aws-global'

/** The row of a region's name, or undefined for a region that is not known. */
export function stsRegion(name: string): StsRegion | undefined {
  if (name === GLOBAL) return { partition: 'aws', scope: 'us-east-1', hosts: ['sts.amazonaws.com'] }
  for (const [partition, row] of Object.entries(PARTITIONS)) {
    if (row.regions.includes(name)) return { partition, scope: name, hosts: hostsOf(name, row) }
  }
  return undefined
}

function hostsOf(region: string, { suffix, dualStackSuffix, fips = [] }: Partition): string[] {
  const names = fips.includes(region) ? ['sts', 'sts-fips'] : ['sts']
  const suffixes = dualStackSuffix === undefined ? [suffix] : [suffix, dualStackSuffix]
  return names.flatMap((name) => suffixes.map((end) => `${name}.${region}.${end}`))
}

export function isPartition(name: string): boolean {
  return Object.hasOwn(PARTITIONS, name)
}
