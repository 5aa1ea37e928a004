import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** A plain account of this machine, which PostgreSQL runs under when the stack is started by root. */
export interface SystemUser {
  name: string
  uid: number
  gid: number
}

function lookUp(name: string): SystemUser | undefined {
  try {
    const number = (flag: string): number =>
      Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 5_000 }).trim())
    return { name, uid: number('-u'), gid: number('-g') }
  } catch {
    return undefined // `id` fails for a name that is not known: that is the answer
  }
}

/**
 * The account for PostgreSQL, which refuses to run as root: `postgres` if the machine has it, else `nobody`.
 * Undefined when this process is not root. Throws when root has neither account.
 */
export function postgresUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const user = lookUp('postgres') ?? lookUp('nobody')
  if (user === undefined)
    throw new Error('PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody.')
  return user
}

function mayEnter(user: SystemUser, folder: string): boolean {
  const { mode, uid, gid } = statSync(folder)
  const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
  return (mode & bit) !== 0
}

/** Whether `user` may enter `folder` and every folder above it, judged by mode bits (access lists are not read). */
export function reachableBy(user: SystemUser, folder: string): boolean {
  for (let path = resolve(folder); ; path = dirname(path)) {
    if (!mayEnter(user, path)) return false
    if (path === dirname(path)) return true
  }
}
