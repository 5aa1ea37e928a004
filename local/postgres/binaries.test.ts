import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { copyForAll, isWhole } from '#local/postgres/binaries'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-binaries-'))
  await mkdir(join(folder, 'native', 'bin'), { recursive: true })
  await writeFile(join(folder, 'native', 'bin', 'postgres'), '', { mode: 0o700 })
  await writeFile(join(folder, 'native', 'pg.conf'), '', { mode: 0o600 })
  await symlink('pg.conf', join(folder, 'native', 'link'))
  for (const place of ['native', 'native/bin']) await chmod(join(folder, place), 0o700)
  await mkdir(join(folder, 'copy'))
})
afterEach(() => rm(folder, { recursive: true }))

test('a copy for another user can be read and run by it, also where root has a strict umask', async () => {
  const before = process.umask(0o077)
  try {
    await copyForAll(join(folder, 'native'), join(folder, 'copy'))
  } finally {
    process.umask(before)
  }
  const modeOf = async (...path: string[]) => ((await stat(join(folder, 'copy', ...path))).mode & 0o777).toString(8)
  expect([await modeOf(), await modeOf('native'), await modeOf('native', 'bin')]).toEqual(['755', '755', '755'])
  expect([await modeOf('native', 'bin', 'postgres'), await modeOf('native', 'pg.conf')]).toEqual(['755', '644'])
})

test('a copy of which something is missing is not taken for a whole one', async () => {
  const home = join(folder, 'copy')
  expect(await isWhole(home)).toBe(false)
  await copyForAll(join(folder, 'native'), home)
  expect(await isWhole(home)).toBe(true)
  await rm(join(home, 'native', 'pg.conf'))
  expect(await isWhole(home)).toBe(false)
})
