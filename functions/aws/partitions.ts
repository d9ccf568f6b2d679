// Where the services of AWS are, by partition and region: data, so that no host is ever made of what a
// caller wrote (AW-02, SC-09, RB-08). A region that AWS adds works here once its row is added.

type Partition = {
  readonly suffix: string
  readonly dualStackSuffix?: string
  readonly regions: readonly string[]
  /** Regions with an `sts-fips` host of their own. */
  readonly fips?: readonly string[]
  /** Where IAM, which a partition has once, takes calls and is signed for. */
  readonly iam: string
}

const PARTITIONS: Readonly<Record<string, Partition>> = {
  aws: {
    iam: 'us-east-1',
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
    iam: 'cn-north-1',
    suffix: 'amazonaws.com.cn',
    dualStackSuffix: 'api.amazonwebservices.com.cn',
    regions: ['cn-north-1', 'cn-northwest-1'],
  },
  'aws-us-gov': {
    iam: 'us-gov-west-1',
    suffix: 'amazonaws.com',
    dualStackSuffix: 'api.aws',
    regions: ['us-gov-east-1', 'us-gov-west-1'],
  },
  'aws-eusc': {
    iam: 'eusc-de-east-1',
    suffix: 'amazonaws.eu',
    dualStackSuffix: 'api.amazonwebservices.eu',
    regions: ['eusc-de-east-1'],
  },
  'aws-iso': {
    suffix: 'c2s.ic.gov',
    iam: 'us-iso-east-1',
    regions: ['us-iso-east-1', 'us-iso-west-1'],
  },
  'aws-iso-b': {
    suffix: 'sc2s.sgov.gov',
    iam: 'us-isob-east-1',
    regions: ['us-isob-east-1', 'us-isob-west-1'],
  },
  'aws-iso-e': { suffix: 'cloud.adc-e.uk', iam: 'eu-isoe-west-1', regions: ['eu-isoe-west-1'] },
  'aws-iso-f': {
    suffix: 'csp.hci.ic.gov',
    iam: 'us-isof-south-1',
    regions: ['us-isof-east-1', 'us-isof-south-1'],
  },
}

export type AwsRegion = {
  readonly partition: string
  readonly name: string
  readonly suffix: string
  readonly dualStackSuffix: string | null
  readonly hasFips: boolean
}

/** The row of a region's name, or undefined for one that is not known. */
export function awsRegion(name: string): AwsRegion | undefined {
  for (const [partition, row] of Object.entries(PARTITIONS)) {
    if (!row.regions.includes(name)) continue
    const { suffix, dualStackSuffix = null, fips = [] } = row
    return { partition, name, suffix, dualStackSuffix, hasFips: fips.includes(name) }
  }
  return undefined
}

export function isPartition(name: string): boolean {
  return Object.hasOwn(PARTITIONS, name)
}

/** Every host that a regional service has in a region; the plain one is the first. */
export function serviceHosts(service: string, region: AwsRegion): readonly string[] {
  const names = region.hasFips ? [service, `${service}-fips`] : [service]
  const suffixes =
    region.dualStackSuffix === null ? [region.suffix] : [region.suffix, region.dualStackSuffix]
  return names.flatMap((name) => suffixes.map((end) => `${name}.${region.name}.${end}`))
}

/** Where IAM of a region's partition is, and what its signatures are made for. */
export function iamHost(region: AwsRegion): { readonly host: string; readonly scope: string } {
  const scope = PARTITIONS[region.partition]?.iam ?? region.name
  // The commercial partition alone has it without a region.
  if (region.partition === 'aws') return { host: `iam.${region.suffix}`, scope }
  const name = region.partition === 'aws-us-gov' ? 'us-gov' : scope
  return { host: `iam.${name}.${region.suffix}`, scope }
}
