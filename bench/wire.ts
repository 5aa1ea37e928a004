import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What went over the wire to Postgres since the last `reset`. */
export interface Traffic {
  /** How often the client spoke after the server: what waits for the network, whatever the driver. */
  trips: number
  sentBytes: number
  receivedBytes: number
}

/** A way to Postgres that counts, for any driver: it looks at who speaks, not at what is said. */
export interface Wire {
  url: string
  reset: () => void
  traffic: () => Traffic
  close: () => Promise<void>
}

/** Starts a counting way to the Postgres of `databaseUrl`. */
export async function startWire(databaseUrl: string): Promise<Wire> {
  const to = new URL(databaseUrl)
  const own = new URL(databaseUrl)
  let now: Traffic = { trips: 0, sentBytes: 0, receivedBytes: 0 }
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const database = connect(Number(to.port), to.hostname)
    let clientSpoke = false
    client.setNoDelay(true)
    database.setNoDelay(true)
    client.on('data', (chunk: Buffer) => {
      if (!clientSpoke) now.trips += 1
      clientSpoke = true
      now.sentBytes += chunk.length
      database.write(chunk)
    })
    database.on('data', (chunk: Buffer) => {
      clientSpoke = false
      now.receivedBytes += chunk.length
      client.write(chunk)
    })
    for (const [one, other] of [
      [client, database],
      [database, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()) // the other end sees what it would see without this way
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  own.port = String((server.address() as AddressInfo).port)
  return {
    url: own.toString(),
    reset: () => (now = { trips: 0, sentBytes: 0, receivedBytes: 0 }),
    traffic: () => ({ ...now }),
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
