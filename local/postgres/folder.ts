import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { livePostmaster } from '#local/postgres/orphan'
import { postgresUser, reachableBy, type SystemUser } from '#local/postgres/system-user'

/** Where a cluster stands, and the account that runs it (undefined: the present one). */
export interface ClusterPlace {
  folder: string
  user: SystemUser | undefined
}

/** Written into a cluster when it is complete; holds the path of the data folder it belongs to. */
export const completeMark = 'baton-complete'

/** Root's clusters whose data folder the PostgreSQL account cannot reach stand here, under a name with this prefix. */
const elsewhere = { folder: '/var/tmp', prefix: 'baton-postgres-data-' }

/** The account to run as: root takes the owner of a cluster that exists, a plain user can only take its own. */
function ownerOf(folder: string, plainUser: SystemUser | undefined): SystemUser | undefined {
  const found = statSync(folder, { throwIfNoEntry: false })
  if (found === undefined) return plainUser
  if (plainUser === undefined) {
    if (process.getuid === undefined || found.uid === process.getuid()) return undefined
    throw new Error(`${folder} belongs to another user. Choose another data folder, or remove this one.`)
  }
  if (found.uid === plainUser.uid || found.uid === 0) return plainUser
  if (folder.startsWith(elsewhere.folder)) throw new Error(`${folder} belongs to another user. Remove it, or choose another data folder.`)
  return { name: String(found.uid), uid: found.uid, gid: found.gid }
}

/** So long a complete cluster without a postmaster is taken to be on its way, in milliseconds. */
const freshMs = 600_000

/** Removes clusters below /var/tmp whose data folder is gone or has new keys: nobody can use them any more. */
async function removeAbandoned(keep: string, dataDir: string): Promise<void> {
  for (const name of readdirSync(elsewhere.folder)) {
    const folder = join(elsewhere.folder, name)
    const mark = join(folder, completeMark)
    const made = statSync(mark, { throwIfNoEntry: false })?.mtimeMs
    // One that has just been made is about to be started by somebody else.
    if (!name.startsWith(elsewhere.prefix) || folder === keep || made === undefined || Date.now() - made < freshMs) continue
    const owner = readFileSync(mark, 'utf8').trim()
    const inUse = owner === '' || livePostmaster(folder) !== undefined || (owner !== dataDir && existsSync(join(owner, 'keys.json')))
    if (inUse) continue
    await rm(folder, { recursive: true, force: true, maxRetries: 5 }).catch((error: NodeJS.ErrnoException) => {
      // Another process removes it at the same moment.
      if (error.code !== 'ENOTEMPTY') throw error
    })
  }
}

/**
 * The place of a data folder's cluster: DIR/postgres, or below /var/tmp when root starts it under a folder (such as
 * root's home) that the PostgreSQL account cannot enter; then the password is part of the name, so that a data folder
 * made anew never meets the old cluster.
 */
export async function clusterPlace(dataDir: string, password: string): Promise<ClusterPlace> {
  const home = resolve(dataDir)
  const plainUser = postgresUser()
  await mkdir(home, { recursive: true })
  const usual = join(home, 'postgres')
  if (plainUser === undefined || reachableBy(plainUser, home)) return { folder: usual, user: ownerOf(usual, plainUser) }
  const name = createHash('sha256').update(`${home}\n${password}`).digest('hex').slice(0, 16)
  const folder = join(elsewhere.folder, elsewhere.prefix + name)
  await removeAbandoned(folder, home)
  return { folder, user: ownerOf(folder, plainUser) }
}
