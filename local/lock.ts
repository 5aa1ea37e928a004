import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** A held lock on a data folder; `release` may be called twice. */
export interface FolderLock {
  /** Removes everything else that stands in the folder. */
  clear: () => void
  release: () => void
}

/**
 * Takes the lock of a data folder, so that two stacks never share one. The operating system holds it (a SQLite file in
 * exclusive mode) and frees it with the process, also after kill -9: no stale lock, no guess about process ids.
 * Throws an error that names the folder and the holder.
 */
export function lockFolder(dataDir: string): FolderLock {
  mkdirSync(dataDir, { recursive: true })
  const holder = join(dataDir, 'lock.pid')
  const database = new DatabaseSync(join(dataDir, 'lock.db'))
  try {
    database.exec('pragma busy_timeout = 0; pragma journal_mode = memory; begin exclusive')
  } catch (error) {
    database.close()
    throw new Error(
      `${resolve(dataDir)} is in use by another local stack${describe(holder)}. Stop it, or choose another folder with --data.`,
      { cause: error },
    )
  }
  writeFileSync(holder, String(process.pid))
  let held = true
  return {
    clear: () => {
      for (const name of readdirSync(dataDir))
        if (!name.startsWith('lock.')) rmSync(join(dataDir, name), { recursive: true, force: true, maxRetries: 5 })
    },
    release: () => {
      if (!held) return
      held = false
      rmSync(holder, { force: true })
      database.close()
    },
  }
}

function describe(holder: string): string {
  try {
    return ` (process ${readFileSync(holder, 'utf8').trim()})`
  } catch {
    return '' // the holder has not written its id yet: the message does without
  }
}
