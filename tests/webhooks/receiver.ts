import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { poll } from '#local/poll'

/** A request that arrived, as a receiver sees it. */
export interface Arrival {
  path: string
  headers: Record<string, string>
  body: string
  /** The body's own fields. */
  event: { type: string; timestamp: string; data: Record<string, unknown> }
}

/** How a path answers its n-th request, counted from 0. */
export type Behaviour = (n: number, response: ServerResponse, request: IncomingMessage) => void

/** Webhook receivers on loopback, one a path; a path answers 204 unless a test says otherwise. */
export interface Receiver {
  url(path: string): string
  behave(path: string, behaviour: Behaviour): void
  of(path: string): Arrival[]
  /** Waits until `count` requests have come to the path; throws after 20 s. */
  waitFor(path: string, count: number): Promise<Arrival[]>
  close(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const arrivals: Arrival[] = []
  const behaviours = new Map<string, Behaviour>()
  const of = (path: string): Arrival[] => arrivals.filter((arrival) => arrival.path === path)
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const path = request.url ?? ''
      const body = Buffer.concat(chunks).toString()
      const n = of(path).length
      arrivals.push({ path, headers: request.headers as Record<string, string>, body, event: JSON.parse(body) as Arrival['event'] })
      const behaviour = behaviours.get(path)
      if (behaviour === undefined) response.writeHead(204).end()
      else behaviour(n, response, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: (path) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    behave: (path, behaviour) => void behaviours.set(path, behaviour),
    of,
    async waitFor(path, count) {
      if (await poll(() => of(path).length >= count, { everyMs: 20, forMs: 60_000 })) return of(path)
      throw new Error(`${path}: ${of(path).length} of ${count} requests came`)
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
