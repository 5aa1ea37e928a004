import { existsSync } from 'node:fs'
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { portClaims } from '#local/ports'
import { startCluster } from '#local/postgres'
import { clusterPlace, completeMark } from '#local/postgres/folder'
import { isAlive } from '#local/postgres/orphan'

// Only root's clusters stand apart from their data folder, which outlive it.
test.skipIf(process.getuid?.() !== 0)(
  'a PostgreSQL whose data folder is gone is stopped by the next start, and its files are removed',
  async () => {
    const claims = portClaims()
    const [gone, next] = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), 'baton-gone-'))))
    const options = { dataDir: gone ?? '', port: await claims.take(0), password: 'for this test only', fsync: false }
    const { pid, stop } = await startCluster(options)
    try {
      const { folder } = await clusterPlace(options.dataDir, options.password)
      const longAgo = new Date(0)
      await utimes(join(folder, completeMark), longAgo, longAgo)
      await clusterPlace(next ?? '', 'another')
      expect(isAlive(pid)).toBe(true)
      await rm(options.dataDir, { recursive: true })
      await clusterPlace(next ?? '', 'another')
      expect([isAlive(pid), existsSync(folder)]).toEqual([false, false])
    } finally {
      await stop()
      claims.release()
      await rm(next ?? '', { recursive: true, force: true })
    }
  },
)
