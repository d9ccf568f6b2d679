// A handle as the gateway would hand it on: shown as a bearer token, with nothing beside it.
import type { PresentedHandle } from '../../functions/core/presented-handle.ts'

export function bearer(token: string): PresentedHandle {
  const url = 'https://broker.example/t/crm'
  return { token, scheme: 'Bearer', proof: { dpop: null, certificate: null, method: 'GET', url } }
}
