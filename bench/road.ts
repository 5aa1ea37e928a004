import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A way to a part of the stack that takes time, as a network does. */
export interface Road {
  url: string
  /** Milliseconds that there and back take together, from now on; 0 at first. */
  takes: (rttMs: number) => void
  close: () => Promise<void>
}

/** Passes on what one end says to the other after half of the way's time, in the order in which it was said. */
function carry(from: Socket, to: Socket, halfMs: () => number): void {
  let last = 0
  from.on('data', (chunk: Buffer) => {
    last = Math.max(performance.now() + halfMs(), last)
    const wait = last - performance.now()
    if (wait <= 0) to.write(chunk)
    else setTimeout(() => to.write(chunk), wait)
  })
  from.on('error', () => to.destroy()) // the other end sees what it would see without this way
  from.on('close', () => setTimeout(() => to.destroy(), halfMs() + 1))
}

/** Starts a way to what `target` names when somebody comes: it may be started after its road. */
export async function startRoad(target: () => string): Promise<Road> {
  let rttMs = 0
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const { hostname, port } = new URL(target())
    const part = connect(Number(port), hostname)
    for (const socket of [client, part]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
    carry(client, part, () => rttMs / 2)
    carry(part, client, () => rttMs / 2)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    takes: (ms) => void (rttMs = ms),
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
