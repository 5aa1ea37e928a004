import { execFileSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startStack } from '#local/stack'
import { median } from '#bench/stats'

const root = join(import.meta.dirname, '..')

/** Loads one bundled route in this fresh process: Next's own runtime first, then what is timed, the route with all that it imports. */
const loader = `
process.env.NODE_ENV = 'production'
process.env.NEXT_RUNTIME = 'nodejs'
const [root, route] = process.argv.slice(1)
require(root + '/node_modules/next/dist/server/node-environment.js')
require(root + '/node_modules/next/dist/compiled/next-server/app-route-turbo.runtime.prod.js')
const cpu = process.cpuUsage()
const from = performance.now()
Promise.resolve(require(root + '/.next/server/app/' + route)).then(async (module) => {
  await module.routeModule.userland
  const { user, system } = process.cpuUsage(cpu)
  console.log(JSON.stringify({ ms: performance.now() - from, cpuMs: (user + system) / 1000 }))
  process.exit()
})`

/** What the import of a bundled route takes in a fresh process: time, and processor time, which other load hardly changes. */
export interface Import {
  route: string
  ms: number
  cpuMs: number
}

/** The routes that carry the work: loaded more often than the others. */
const main = new Set(['api/agents/[id]/messages/route.js', 'api/runs/[id]/events/route.js', 'api/inngest/route.js'])

/** The import of every route of the build: the main ones `times` times and the median of them, the others once. */
export function coldImports(times: number): Import[] {
  const routes = globSync('**/route.js', { cwd: join(root, '.next/server/app') }).filter((route) => route.startsWith('api/'))
  const seen = new Map(routes.map((route) => [route, [] as { ms: number; cpuMs: number }[]]))
  for (let time = 0; time < times; time++) {
    for (const route of time === 0 ? routes : main) {
      const told = execFileSync(process.execPath, ['--eval', loader, '--', root, route], { encoding: 'utf8', timeout: 30_000 })
      seen.get(route)?.push(JSON.parse(told) as { ms: number; cpuMs: number })
    }
  }
  return [...seen]
    .map(([route, all]) => ({
      route: `/${dirname(route)}`,
      ms: median(all.map(({ ms }) => ms)),
      cpuMs: median(all.map(({ cpuMs }) => cpuMs)),
    }))
    .toSorted((a, b) => b.cpuMs - a.cpuMs)
}

/** Milliseconds until the whole local stack answers: in an empty folder (a cluster is made and migrated), and again in the same one. */
export interface StackStart {
  emptyMs: number
  againMs: number
}

/** Starts and stops the local stack twice. */
export async function stackStart(): Promise<StackStart> {
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-bench-'))
  const start = async (): Promise<number> => {
    const from = performance.now()
    const stack = await startStack({ built: true, port: 0, quiet: true, dataDir })
    const ms = performance.now() - from
    await stack.stop()
    return ms
  }
  try {
    return { emptyMs: await start(), againMs: await start() }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}
