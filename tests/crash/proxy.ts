import { createServer, request as forward, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What becomes of a request on its way: it passes, is answered here with a status, or is done and its reply is lost. */
export type Fate = 'pass' | 'lose_reply' | 'lose_request' | number

/** Stands between the servers and one of their parts. */
export interface Proxy {
  url: string
  /** Where requests go; set when the stack is up. */
  target: string | null
  fate: (method: string, path: string, body: string) => Fate
  /** How many requests met each fate but `pass`. */
  struck: number
  close(): Promise<void>
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Starts a proxy that passes everything on; 502 while it has no target. */
export async function startProxy(): Promise<Proxy> {
  const server = createServer((request, response) => {
    void read(request).then((body) => {
      const path = request.url ?? '/'
      const fate = proxy.target === null ? 502 : proxy.fate(request.method ?? 'GET', path, body.toString())
      if (fate !== 'pass') proxy.struck += 1
      if (typeof fate === 'number') return void response.writeHead(fate, { 'content-type': 'application/json' }).end('{}')
      if (fate === 'lose_request') return void response.destroy()
      const { hostname, port } = new URL(proxy.target ?? '')
      const headers = { ...request.headers, host: `${hostname}:${port}` }
      const onward = forward({ hostname, port, path, method: request.method, headers, agent: false }, (answer) => {
        void read(answer).then((text) => {
          if (fate === 'lose_reply') return void response.destroy()
          response.writeHead(answer.statusCode ?? 502, answer.headers).end(text)
        })
      })
      onward.on('error', () => response.destroy())
      onward.end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: Proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    target: null,
    fate: () => 'pass',
    struck: 0,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}
