// Nonces for DPoP proofs (RFC 9449 §8) without a store: an HMAC over the period of time, under a key that
// is derived from the KEK, so that every isolate makes and knows the same ones and nobody else any.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Seconds } from '../core/ports.ts'

/** A nonce is accepted for one to two periods. */
const PERIOD_SECONDS = 300

export type ProofNonces = {
  /** The one to hand out now. */
  at(now: Seconds): string
  /** Whether it was made for the period of `now` or a neighbour of it: clocks of isolates differ. */
  isFresh(nonce: string, now: Seconds): boolean
}

export function proofNonces(keks: {
  readonly kek: Uint8Array
  readonly kekPrevious: Uint8Array | null
}): ProofNonces {
  const current = derive(keks.kek)
  const keys = keks.kekPrevious === null ? [current] : [current, derive(keks.kekPrevious)]
  return {
    at: (now) => nonceOf(current, periodOf(now)),
    isFresh(nonce, now) {
      const period = periodOf(now)
      return keys.some((key) =>
        [period, period - 1, period + 1].some((one) => isSame(nonce, nonceOf(key, one))),
      )
    },
  }
}

function periodOf(now: Seconds): number {
  return Math.floor(now / PERIOD_SECONDS)
}

function derive(kek: Uint8Array): Uint8Array {
  return createHmac('sha256', kek).update('sallyport proof-nonce v1').digest()
}

function nonceOf(key: Uint8Array, period: number): string {
  return createHmac('sha256', key).update(String(period)).digest('base64url')
}

function isSame(presented: string, made: string): boolean {
  const encoder = new TextEncoder()
  const [left, right] = [encoder.encode(presented), encoder.encode(made)]
  return left.length === right.length && timingSafeEqual(left, right)
}
