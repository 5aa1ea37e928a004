import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const lookEveryMs = 10

/** Waits until the file is there: whoever writes it decides how long a step takes, on any machine. Without a file nothing is waited for. Throws the signal's reason. */
export async function passGate(file: string | undefined, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  while (file !== undefined && !existsSync(file)) {
    await sleep(lookEveryMs)
    signal.throwIfAborted()
  }
}
