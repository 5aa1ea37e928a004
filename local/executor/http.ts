import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from '#local/node-http'
import type { ApiAnswer, ApiRequest } from '#local/executor/api'
import { BodyRefused, readJsonBody } from '#local/executor/body'

function headersOf(incoming: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]))
}

function reply(outgoing: ServerResponse, { status, body }: ApiAnswer): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' })
  outgoing.end(JSON.stringify(body))
}

function problemOf(error: unknown): ApiAnswer {
  const status = error instanceof BodyRefused ? error.status : error instanceof URIError ? 400 : 500
  return { status, body: { status, error: error instanceof Error ? error.message : String(error) } }
}

/** Serves the API on 127.0.0.1; rejects when the port cannot be had. */
export function listen(port: number, answer: (request: ApiRequest) => Promise<ApiAnswer>, log: (line: string) => void): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://executor')
    const request = { method: incoming.method ?? 'GET', url, headers: headersOf(incoming), json: () => readJsonBody(incoming) }
    answer(request)
      .catch((error: unknown) => {
        const problem = problemOf(error)
        if (problem.status === 500)
          log(`${request.method} ${url.pathname}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
        return problem
      })
      .then((result) => reply(outgoing, result))
      .catch((error: unknown) => log(`answering ${url.pathname}: ${String(error)}`))
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      server.on('error', (error) => log(`server: ${error.message}`))
      resolve(server)
    })
  })
}
