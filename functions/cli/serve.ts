// `sallyport serve`: the broker in this process, until a signal ends it.
import { once } from 'node:events'
import { createApp } from '../app.ts'
import { startNode } from '../platforms/node.ts'
import { CliError, type CliIo, EXIT } from './io.ts'

export async function serve(options: { readonly json?: boolean }, io: CliIo): Promise<void> {
  const started = await startNode(createApp, io.env)
  if (!started.ok) {
    const lines = started.failure.map(({ setting, message }) => `${setting} ${message}`)
    throw new CliError(EXIT.usage, lines.join('\n'), { errors: started.failure })
  }
  const { url } = started.value
  io.out(options.json ? JSON.stringify({ url }) : `sallyport serves at ${url}`)
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  await started.value.stop()
}
