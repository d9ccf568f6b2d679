// Compares what a stranger presented with a secret that is kept here.
import { timingSafeEqual } from 'node:crypto'
import type { Hashing } from '../core/ports.ts'

/** Compares hashes of equal length, so that no prefix is learnt from the time (ADM-4). */
export function isSameSecret(presented: string, wanted: string, hashing: Hashing): boolean {
  const encoder = new TextEncoder()
  return timingSafeEqual(
    encoder.encode(hashing.sha256Hex(presented)),
    encoder.encode(hashing.sha256Hex(wanted)),
  )
}
