import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** A log file of bounded size: when full it becomes FILE.1 and a new one begins. */
export interface BoundedLog {
  write: (chunk: string | Buffer) => void
  /** The last lines, for error messages. */
  tail: (lines: number) => string
}

/** Largest size of one file, in bytes; two are kept. */
const defaultLimit = 5 * 1024 * 1024

/** Opens a log file and adds to what it holds. */
export function boundedLog(file: string, limit: number = defaultLimit): BoundedLog {
  mkdirSync(dirname(file), { recursive: true })
  let size = existsSync(file) ? statSync(file).size : 0
  return {
    write: (chunk) => {
      // The last words of a part may come after its end, when whoever stopped the stack has already removed the folder.
      if (!existsSync(dirname(file))) return
      if (size > 0 && size + chunk.length > limit) {
        renameSync(file, `${file}.1`)
        size = 0
      }
      appendFileSync(file, chunk)
      size += Buffer.byteLength(chunk)
    },
    tail: (lines) => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : ''),
  }
}
