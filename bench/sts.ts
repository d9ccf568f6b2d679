// STS in a process of its own: as little as one can do that answers what was asked for.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { assumed } from '../test/fakes/sts-server.ts'

let serial = 0
const server = createServer((request, response) => {
  let text = ''
  request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  request.on('end', () => {
    const form = new URLSearchParams(text)
    const byRole = form.get('Action') === 'AssumeRole'
    const said = assumed(form, ++serial)
    const body = byRole ? said.replaceAll('AssumeRoleWithWebIdentity', 'AssumeRole') : said
    const length = Buffer.byteLength(body)
    response.writeHead(200, { 'content-type': 'text/xml', 'content-length': length }).end(body)
  })
})

server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  // A listening TCP server has an AddressInfo.
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.once('disconnect', () => process.exit(0))
