import { poll } from '#local/poll'
import { Broken, stageEnv, type Stage } from '#tests/crash/stage'
import { revive } from '#tests/deaths'
import { startWorld, type World } from '#tests/world'

const servers = [0, 1]
/** A death after the very last call shows only when the supervisor has seen it. */
const noticedMs = 3_000

/** Ends the lease that a dead process left behind, as its clock would do some seconds later. */
export async function expireLease(world: World, agent: string): Promise<void> {
  await world.sql(`update baton.agents set lease_until = baton.clock() where id = $1 and lease_owner is not null`, [agent])
}

/** The stage with two real server processes that end by SIGKILL: what the lives of lives.ts are measured by. */
export async function startProcesses(env: Record<string, string>): Promise<Stage> {
  const world = await startWorld({ servers: 2, env: { ...env, ...stageEnv, BATON_SWEEP_EVERY: '1s' } })
  let pids: (number | null)[] = []
  let fallen = false
  let buried: Promise<boolean> = Promise.resolve(false)
  const arm = (server: number, point: object | null): Promise<unknown> => world.http('POST', '/api/local/crash', point ?? {}, {}, server)
  const dead = (): number => servers.find((server) => world.stack.info.pids.servers[server] !== pids[server]) ?? -1

  /** Beside the requests, for a death may come while one is under way. */
  async function bury(agent: string, over: () => boolean): Promise<boolean> {
    await poll(() => dead() >= 0 || over(), { everyMs: 10, forMs: 60_000 })
    const victim = dead()
    if (victim < 0) return false
    fallen = true
    await Promise.all([revive(world, victim), arm(1 - victim, null).catch(() => undefined)])
    await expireLease(world, agent)
    // A server that was revived before it was composed may hold the point still.
    await world.stack.waitReady(`server-${victim}`)
    await arm(victim, null)
    return true
  }
  async function ask(server: number, request: Request): Promise<Response> {
    const { method, headers } = request
    const body = method === 'GET' ? null : await request.text()
    const { pathname, search } = new URL(request.url)
    try {
      const answer = await fetch(world.base(server) + pathname + search, { method, headers, body, signal: AbortSignal.timeout(60_000) })
      return new Response(answer.status === 204 ? null : await answer.text(), { status: answer.status, headers: answer.headers })
    } catch (error) {
      throw new Broken(String(error))
    }
  }
  let endsAt = Number.POSITIVE_INFINITY
  return {
    world,
    async begin([point = null, ...more], agent, env) {
      if (more.length > 0 || Object.keys(env).length > 0) throw new Error('processes die once, and are told what all are told')
      await Promise.all(servers.map((server) => world.stack.waitReady(`server-${server}`)))
      pids = [...world.stack.info.pids.servers]
      endsAt = Number.POSITIVE_INFINITY
      fallen = false
      for (const server of servers) await arm(server, point)
      buried = point !== null ? bury(agent, () => performance.now() > endsAt) : Promise.resolve(false)
    },
    ask,
    look: (request) => ask(0, request),
    async net() {
      if (!fallen) return
      // A worker that died holds its delivery for a minute.
      await world.sql(
        `update baton.webhook_deliveries set next_at = baton.clock() where state = 'pending' and next_at > baton.clock() + interval '30 s'`,
      )
    },
    async end() {
      endsAt = performance.now() + noticedMs
      return [await buried]
    },
    calls: () => [],
    gate() {
      throw new Error('calls of processes cannot be held back')
    },
    async effects() {
      await world.stack.waitReady('server-0')
      return world.effects()
    },
    advance: (ms) => world.advance(ms),
    close: () => world.close(),
  }
}
