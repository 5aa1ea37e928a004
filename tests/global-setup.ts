import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { openApiDocument } from '#lib/api/openapi/document'
import { ensureTemplate } from '#local/database'
import { portClaims } from '#local/ports'
import { startCluster } from '#local/postgres'

declare module 'vitest' {
  interface ProvidedContext {
    clusterUrl: string
    template: string
    /** The OpenAPI document that answers are held against, with its own objects closed. */
    openapi: unknown
  }
}

/** What Postgres has said of deadlocks, each with who waited for whom and in which line of SQL: the tests that count them cannot know. */
function deadlockReports(): { take: (chunk: string) => void; tell: () => void } {
  const said: string[] = []
  let telling = 0
  const take = (line: string): void => {
    if (line.includes('deadlock detected')) telling = 40
    if (telling-- > 0 && said.length < 2_000) said.push(line)
  }
  return {
    take: (chunk) => chunk.split('\n').forEach(take),
    tell() {
      if (said.length > 0) console.error(`Postgres found deadlocks while the tests ran:\n${said.join('\n')}`)
    },
  }
}

/**
 * A part of the document whose objects allow no other fields than those it names: it leaves them open, because fields may be added, and a
 * field that it does not know is to be seen.
 */
function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(closed)
  if (typeof part !== 'object' || part === null) return part
  const copy = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, key === 'example' ? value : closed(value)]))
  const isObject = copy['type'] === 'object' && typeof copy['properties'] === 'object' && !('additionalProperties' in copy)
  return isObject ? { ...copy, additionalProperties: false } : copy
}

/** One Postgres cluster for all files, each with a database of its own copied from a template; the built server must exist. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (!existsSync('.next/BUILD_ID')) throw new Error('The system tests drive the built server: run `npm run build` first.')
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-cluster-'))
  const claims = portClaims()
  const deadlocks = deadlockReports()
  const cluster = await startCluster({ dataDir, port: await claims.take(0), password: 'test', fsync: false, log: deadlocks.take })
  const end = async (): Promise<void> => {
    process.off('SIGTERM', cut)
    await cluster.stop()
    deadlocks.tell()
    claims.release()
    await rm(dataDir, { recursive: true, force: true })
  }
  // Ctrl-C lets the runner tear down; a SIGTERM, as of a time limit around it, would leave Postgres behind.
  const cut = (): void => void end().finally(() => process.exit(143))
  process.once('SIGTERM', cut)
  project.provide('clusterUrl', cluster.url)
  project.provide('template', await ensureTemplate(cluster.url))
  // Made once: half a second of CPU in each of a hundred processes otherwise.
  project.provide('openapi', closed(openApiDocument()))
  return end
}
