import type { Server } from 'node:http'
import { z } from 'zod'

const messageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('postmaster'), pid: z.number().int() }),
  z.object({ kind: z.literal('database-ready') }),
])

/** What the supervisor tells a part: the id of the postmaster where the stack runs one, and that the database is prepared. */
export type PartMessage = z.infer<typeof messageSchema>

/** A variable of the part's environment; throws an error that names it when it is missing. */
export function required(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '')
    throw new Error(`The environment variable ${name} is missing: parts are started by the supervisor.`)
  return value
}

/** Ends this process when the supervisor is gone, however it ended; `before` may do a last thing (5 s at most). */
export function endWithSupervisor(before: () => Promise<void> = async () => undefined): void {
  const end = (): void => {
    setTimeout(() => process.exit(1), 5_000).unref()
    before().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  if (process.send === undefined) return // started by hand: there is no supervisor to follow
  process.once('disconnect', end)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0))
}

/** Calls `listener` for each message of the supervisor; anything else that arrives is an error. */
export function onMessage(listener: (message: PartMessage) => void): void {
  process.on('message', (message) => listener(messageSchema.parse(message)))
}

/** Listens on loopback; resolves when connections are accepted, rejects when the port is taken. */
export async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', fail)
      done()
    })
  })
}
