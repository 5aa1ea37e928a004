import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Frame } from '#tests/fake-provider/dialects'
import { chatFrames, gatewayFrames, messagesFrames, responsesFrames } from '#tests/fake-provider/dialects'
import type { FakeScript } from '#tests/fake-provider/script'
import { scriptOf } from '#tests/fake-provider/script'

const dialects: Readonly<Record<string, (script: FakeScript) => Frame[]>> = {
  '/v1/chat/completions': chatFrames,
  '/v1/responses': responsesFrames,
  '/v1/messages': messagesFrames,
  '/v1/language-model': gatewayFrames,
}

/** A provider on this machine that answers as its prompt says, in the dialects of OpenAI, Anthropic and Vercel's gateway. */
export interface FakeProvider {
  /** Ends with /v1. */
  baseUrl: string
  /** The bodies of the requests, in order. */
  requests: { path: string; headers: IncomingMessage['headers']; body: unknown }[]
  close(): Promise<void>
}

async function play(script: FakeScript, frames: readonly Frame[], response: ServerResponse, key: string): Promise<void> {
  if (script.delayMs > 0) await sleep(script.delayMs)
  if (script.error !== undefined) {
    response.writeHead(script.error.status, { 'content-type': 'application/json', ...script.error.headers })
    const body = typeof script.error.body === 'string' ? script.error.body : JSON.stringify(script.error.body)
    response.end(body.replaceAll('{KEY}', key))
    return
  }
  if (script.hang === 'headers') return
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  let sent = 0
  for (const frame of frames) {
    if (frame.piece === true && sent === script.endAfter) break
    // A moment passes so that what was written before the cut has left this process.
    if (frame.piece === true && sent === script.cutAfter) return void setTimeout(() => response.destroy(), 20)
    if (frame.piece === true && sent > 0 && script.hang === 'stream') return
    if (frame.piece === true && sent > 0 && script.streamError !== undefined) {
      write(response, {
        event: 'error',
        data: { type: 'error', sequence_number: 1, error: { type: script.streamError, message: 'scripted', code: null } },
      })
      break
    }
    write(response, frame)
    for (let count = 0; frame.thinks === true && count < (script.pings?.count ?? 0); count += 1) {
      await sleep(script.pings?.everyMs)
      write(response, { event: 'ping', data: { type: 'ping' } })
    }
    if (frame.piece === true) sent += 1
  }
  response.end()
}

function write(response: ServerResponse, frame: Frame): void {
  const data = typeof frame.data === 'string' ? frame.data : JSON.stringify(frame.data)
  response.write(`${frame.event === undefined ? '' : `event: ${frame.event}\n`}data: ${data}\n\n`)
}

/** Starts the fake provider on a free port of 127.0.0.1. */
export async function startFakeProvider(): Promise<FakeProvider> {
  const requests: FakeProvider['requests'] = []
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    if (request.method === 'GET') return void response.writeHead(path === '/v1/models' ? 200 : 404).end('{"data":[]}')
    const body: unknown = JSON.parse(await text(request))
    requests.push({ path, headers: request.headers, body })
    const script = scriptOf(body)
    const key = String(request.headers['x-api-key'] ?? request.headers.authorization ?? '').replace(/^Bearer /, '')
    await play(script, dialects[path]?.(script) ?? [], response, key)
  }
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the fake provider has no port')
  return {
    baseUrl: `http://127.0.0.1:${address.port}/v1`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
