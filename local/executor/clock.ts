/** The executor's clock: the real clock plus an offset that tests move, so that a day passes in a millisecond. */
export interface ExecutorClock {
  /** Now in milliseconds since the epoch, offset included: every due time is counted on it. */
  now(): number
  /** The present offset in milliseconds. */
  offset(): number
  /** Sets the offset and tells those who wait for a due time. */
  setOffset(offsetMs: number): void
  /** Registers a function that runs after each change of the offset. */
  onJump(listener: () => void): void
}

/** Makes a clock that starts at the given offset in milliseconds. */
export function createClock(initialOffsetMs = 0): ExecutorClock {
  let offset = initialOffsetMs
  const listeners: (() => void)[] = []
  return {
    now: () => Date.now() + offset,
    offset: () => offset,
    setOffset(offsetMs) {
      offset = offsetMs
      for (const listener of listeners) listener()
    },
    onJump: (listener) => {
      listeners.push(listener)
    },
  }
}

/** Reads the offset that the database holds (`baton.local_clock`); 0 with a log line where there is none to read within 2 s. */
export async function readStoredOffset(databaseUrl: string, log: (line: string) => void): Promise<number> {
  const { Client } = await import('pg')
  const client = new Client({ connectionString: databaseUrl, connectionTimeoutMillis: 2000, query_timeout: 2000 })
  // A server that goes away later must not end this process with an unhandled 'error' event.
  client.on('error', (error) => log(`clock: ${error.message}`))
  try {
    await client.connect()
    const result = await client.query<{ offset_ms: string | number }>('select offset_ms from baton.local_clock limit 1')
    const offset = Number(result.rows[0]?.offset_ms ?? 0)
    return Number.isFinite(offset) ? offset : 0
  } catch (error) {
    log(`clock: no stored offset (${error instanceof Error ? error.message : String(error)}), starting at 0`)
    return 0
  } finally {
    await client.end().catch((error: unknown) => log(`clock: closing the connection: ${String(error)}`))
  }
}
