// A store that hangs is a store that failed: 503 within the request's time, not a hang (AUD-5).
import { StoreUnavailable } from '../core/records.ts'

/** What a remote store may take for one batch. */
export const STORE_DEADLINE_MS = 5000

/** The answer, or StoreUnavailable when it fails or is late. A late write may still have happened. */
export async function withinDeadline<T>(deadlineMs: number, work: () => Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StoreUnavailable(`the store did not answer within ${deadlineMs} ms`)),
      deadlineMs,
    )
  })
  try {
    return await Promise.race([work(), late])
  } catch (cause) {
    if (cause instanceof StoreUnavailable) throw cause
    throw new StoreUnavailable('the store failed', { cause })
  } finally {
    clearTimeout(timer)
  }
}
