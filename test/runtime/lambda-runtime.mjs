// Stands for the managed Node runtime of Lambda: loads the handler, polls the Runtime API, and offers the
// `awslambda` global with the streaming contract (metadata, eight NUL bytes, body; error trailers).
import { request } from 'node:http'
import { PassThrough } from 'node:stream'

const STREAMING = Symbol('streaming handler')
const METADATA_TYPE = 'application/vnd.awslambda.http-integration-response'
const [host, port] = (process.env.AWS_LAMBDA_RUNTIME_API ?? '').split(':')

globalThis.awslambda = {
  streamifyResponse: (handler) => Object.assign(handler, { [STREAMING]: true }),
  HttpResponseStream: {
    from(stream, metadata) {
      stream.contentType = METADATA_TYPE
      stream.write(Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]))
      return stream
    },
  },
}

const { handler } = await import(process.argv[2])
for (;;) await serveOne()

async function serveOne() {
  const next = await call('GET', '/invocation/next')
  const id = next.headers['lambda-runtime-aws-request-id']
  const deadlineMs = Number(next.headers['lambda-runtime-deadline-ms'])
  const context = { awsRequestId: id, getRemainingTimeInMillis: () => deadlineMs - Date.now() }
  try {
    const event = JSON.parse(next.body)
    if (handler[STREAMING]) await stream(id, event, context)
    else
      await call(
        'POST',
        `/invocation/${id}/response`,
        JSON.stringify(await handler(event, context)),
      )
  } catch (error) {
    const report = JSON.stringify({ errorType: error.name, errorMessage: error.message })
    await call('POST', `/invocation/${id}/error`, report)
  }
}

function stream(id, event, context) {
  return new Promise((resolve) => {
    const out = new PassThrough()
    const post = request(
      {
        host,
        port,
        method: 'POST',
        path: `/2018-06-01/runtime/invocation/${id}/response`,
        headers: {
          'lambda-runtime-function-response-mode': 'streaming',
          'transfer-encoding': 'chunked',
          trailer: 'Lambda-Runtime-Function-Error-Type',
        },
      },
      (answer) => answer.resume().on('end', resolve),
    )
    post.on('error', resolve)
    // A failed stream ends with a trailer that names the error; the front then cuts the client off.
    out.on('error', (error) => {
      post.addTrailers({ 'Lambda-Runtime-Function-Error-Type': error.name })
      post.end()
    })
    out.pipe(post)
    post.on('close', () => out.destroy())
    handler(event, out, context).catch((error) => out.destroy(error))
  })
}

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const req = request({ host, port, method, path: `/2018-06-01/runtime${path}` }, (answer) => {
      const chunks = []
      answer.on('data', (chunk) => chunks.push(chunk))
      answer.on('end', () =>
        resolve({ headers: answer.headers, body: Buffer.concat(chunks).toString() }),
      )
    })
    req.on('error', reject)
    req.end(body)
  })
}
