import { createServer, request as httpRequest, Agent } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One call that went through: `name` is the last segment of its path. Sizes are of the bodies. */
export interface Trip {
  name: string
  sentBytes: number
  receivedBytes: number
  status: number
}

export interface Proxy {
  url: string
  trips: Trip[]
  /** How many calls have no end yet. */
  open(): number
  /** Cuts every connection that is open now. */
  cut(): void
  close(): Promise<void>
}

export interface ProxyOptions {
  rewrite?: (path: string) => string
  /** True: the reply is thrown away and the caller's connection is cut, as when a reply is lost. */
  lose?: (trip: Trip) => boolean
}

/**
 * A reverse proxy on loopback that counts what goes through and can lose replies. `target` is asked at each call: the stack
 * behind may be started after the proxy, whose address it is given.
 */
export async function startProxy(
  target: string | (() => string),
  { rewrite = (path) => path, lose = () => false }: ProxyOptions = {},
): Promise<Proxy> {
  const trips: Trip[] = []
  const calls = new Set<unknown>()
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const server = createServer((incoming, outgoing) => {
    calls.add(outgoing)
    outgoing.on('close', () => calls.delete(outgoing))
    const onwardTo = typeof target === 'string' ? target : target()
    if (onwardTo === '') return outgoing.destroy() // nothing stands behind it yet
    const { hostname, port } = new URL(onwardTo)
    const path = incoming.url ?? '/'
    const trip: Trip = { name: path.split('?')[0]?.split('/').at(-1) ?? '', sentBytes: 0, receivedBytes: 0, status: 0 }
    incoming.on('data', (chunk: Buffer) => (trip.sentBytes += chunk.length))
    const onward = httpRequest(
      { hostname, port, agent, method: incoming.method, path: rewrite(path), headers: incoming.headers },
      (answer) => {
        trip.status = answer.statusCode ?? 502
        answer.on('data', (chunk: Buffer) => (trip.receivedBytes += chunk.length))
        answer.on('end', () => trips.push(trip))
        if (lose(trip)) {
          answer.resume()
          answer.on('end', () => outgoing.destroy())
          return
        }
        outgoing.writeHead(trip.status, answer.headers)
        answer.pipe(outgoing)
      },
    )
    onward.setTimeout(60_000, () => onward.destroy(new Error('the target did not answer')))
    onward.on('error', () => outgoing.destroy()) // the caller sees a cut connection, as without a proxy
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port: own } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${own}`,
    trips,
    open: () => calls.size,
    cut: () => server.closeAllConnections(),
    async close() {
      agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
