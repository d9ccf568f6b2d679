// Entry of the Cloudflare Worker; wrangler.jsonc names it as `main`.
import { createApp } from './app.ts'
import { createWorker } from './platforms/workerd.ts'

export default createWorker(createApp)
