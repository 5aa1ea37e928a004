import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

/** A line of the effects log. */
export interface Effect {
  at: string
  kind: 'tool' | 'model'
  agentId: string
  runId: string
  /** Of the lease under which it was done. */
  epoch: number
  step: number
  callId?: string
  name?: string
  key?: string
  idempotencyKey?: string
  pid: number
}

/** Reads the effects log of a data folder from byte `from` on; `end` is where the next read begins. */
export async function readEffects(dataDir: string, from = 0): Promise<{ effects: Effect[]; end: number }> {
  const file = join(dataDir, 'effects.jsonl')
  if (!existsSync(file)) return { effects: [], end: 0 }
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(size - from)
    await handle.read(buffer, 0, buffer.length, from)
    const effects = buffer
      .toString()
      .split('\n')
      .flatMap((line) => {
        try {
          return line === '' ? [] : [JSON.parse(line) as Effect]
        } catch {
          return [] // a line that a kill has cut: its effect had not begun
        }
      })
    return { effects, end: size }
  } finally {
    await handle.close()
  }
}
