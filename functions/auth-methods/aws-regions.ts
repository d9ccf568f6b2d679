// Where STS takes the calls that callers have signed: every host of its regions, and the global one where a
// method allows it (AW-02, RB-08).
import { awsRegion, serviceHosts } from '../aws/partitions.ts'

export { isPartition } from '../aws/partitions.ts'

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
  const region = awsRegion(name)
  if (region === undefined) return undefined
  return { partition: region.partition, scope: name, hosts: serviceHosts('sts', region) }
}
