import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { localKeys } from '#local/keys'
import { lockFolder } from '#local/lock'
import { boundedLog } from '#local/logs'
import { pauseBefore } from '#local/supervisor'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-files-'))
})

afterEach(() => rm(folder, { recursive: true, force: true }))

test('keys are made once, also when two ask at the same time, and are readable by the owner only', async () => {
  const [one, two] = await Promise.all([localKeys(folder), localKeys(folder)])
  expect(one).toEqual(two)
  expect(await localKeys(folder)).toEqual(one)
  expect(Buffer.from(one.encryptionKey, 'base64')).toHaveLength(32)
  expect((await stat(join(folder, 'keys.json'))).mode & 0o777).toBe(0o600)
})

test('a damaged keys.json is reported by name, never replaced', async () => {
  await writeFile(join(folder, 'keys.json'), '{"secretKey":"x"}')
  await expect(localKeys(folder)).rejects.toThrow(/keys\.json is damaged/)
  expect(await readFile(join(folder, 'keys.json'), 'utf8')).toBe('{"secretKey":"x"}')
})

test('a folder is locked for one at a time', () => {
  const lock = lockFolder(folder)
  expect(() => lockFolder(folder)).toThrow(/in use by another local stack/)
  lock.release()
  lockFolder(folder).release()
})

test('a locked folder can be cleared, and stays locked', async () => {
  await mkdir(join(folder, 'logs'))
  await writeFile(join(folder, 'keys.json'), '{}')
  const lock = lockFolder(folder)
  lock.clear()
  expect((await readdir(folder)).toSorted()).toEqual(['lock.db', 'lock.pid'])
  expect(() => lockFolder(folder)).toThrow(`(process ${process.pid})`)
  lock.release()
})

test('a log never holds more than twice its limit and keeps the newest lines', async () => {
  const file = join(folder, 'logs', 'part.log')
  const log = boundedLog(file, 100)
  for (let line = 0; line < 100; line += 1) log.write(`line ${line}\n`)
  expect((await stat(file)).size + (await stat(`${file}.1`)).size).toBeLessThanOrEqual(200)
  expect(existsSync(`${file}.2`)).toBe(false)
  expect(log.tail(1)).toBe('line 99')
})

test('what a process says after its data folder was removed is dropped, and ends nobody', async () => {
  const log = boundedLog(join(folder, 'logs', 'part.log'), 100)
  log.write('first\n')
  await rm(folder, { recursive: true })
  for (let line = 0; line < 10; line += 1) log.write('the last words of a part, after it has ended\n')
  expect(log.tail(1)).toBe('')
})

test('the pause before a start doubles and has an upper bound', () => {
  expect([1, 2, 3, 20].map(pauseBefore)).toEqual([100, 200, 400, 5_000])
})
