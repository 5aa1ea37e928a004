import { spawn, type ChildProcess } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { isAlive, livePostmaster, stopPostmaster } from '#local/postgres/orphan'

let folder: string
let child: ChildProcess
let postmaster = 0
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-starting-'))
  await chmod(folder, 0o755) // else root's PostgreSQL account cannot enter, and the cluster stands below /var/tmp
})
afterEach(async () => {
  child.kill('SIGKILL')
  if (postmaster !== 0) await stopPostmaster(postmaster)
  await rm(folder, { recursive: true, force: true })
})

/** A stack in a process of its own that has PostgreSQL and waits for its first migration. */
async function starting(): Promise<void> {
  const migrations = join(folder, 'migrations')
  await mkdir(migrations)
  await writeFile(join(migrations, '0001_never.sql'), 'select pg_sleep(3600)')
  child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', 'supervisor.ts'), join(folder, 'data'), migrations], {
    stdio: 'ignore',
  })
  const data = join(folder, 'data')
  const said = () => readFile(join(data, 'logs', 'postgres.log'), 'utf8').catch(() => '') // not there yet
  expect(await poll(async () => (await said()).includes('ready to accept connections'), { everyMs: 20, forMs: 60_000 })).toBe(true)
  postmaster = livePostmaster(join(data, 'postgres')) ?? 0
  expect(postmaster).not.toBe(0)
}

test('Ctrl-C while a stack starts stops what has started', async () => {
  await starting()
  child.kill('SIGINT')
  expect(await poll(() => child.exitCode !== null, { everyMs: 20, forMs: 30_000 })).toBe(true)
  expect(isAlive(postmaster)).toBe(false)
})

test('kill -9 while a stack starts leaves no PostgreSQL behind', async () => {
  await starting()
  child.kill('SIGKILL')
  expect(await poll(() => !isAlive(postmaster), { everyMs: 20, forMs: 30_000 })).toBe(true)
})
