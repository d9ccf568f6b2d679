// Times on the wire: RFC 3339, UTC.
import type { Seconds } from '../../core/ports.ts'

export function timeOf(seconds: Seconds): string {
  return new Date(seconds * 1000).toISOString()
}
