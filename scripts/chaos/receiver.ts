import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A webhook that arrived. */
export interface Arrival {
  id: string
  runId: string
  text: string
}

/** Takes webhooks on loopback and remembers them. */
export interface Receiver {
  url: string
  arrivals: Arrival[]
  /** Event ids that came for a run; copies count once. */
  ids(runId: string): string[]
  /** The same for all runs. */
  all(): Map<string, string[]>
  close(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const arrivals: Arrival[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      const body = JSON.parse(text) as { data: { runId: string } }
      arrivals.push({ id: String(request.headers['webhook-id']), runId: body.data.runId, text })
      response.writeHead(200).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    arrivals,
    all: () =>
      new Map([...Map.groupBy(arrivals, ({ runId }) => runId)].map(([runId, list]) => [runId, [...new Set(list.map(({ id }) => id))]])),
    ids: (runId) => [...new Set(arrivals.filter((arrival) => arrival.runId === runId).map((arrival) => arrival.id))],
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
