import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCluster } from '#local/postgres'
import { compare } from '#bench/compare'
const dir = await mkdtemp(join(tmpdir(), 'bt-'))
const cluster = await startCluster({ dataDir: dir, port: 25432, password: 'pw' })
try {
  const from = performance.now()
  const r = await compare(cluster.url, { ids: process.argv.slice(2), rounds: 4, colds: 2, guest: { turn: async () => 1 }, say: console.log })
  console.log(JSON.stringify(r, null, 1), performance.now() - from)
} finally {
  await cluster.stop()
  await rm(dir, { recursive: true, force: true })
}
