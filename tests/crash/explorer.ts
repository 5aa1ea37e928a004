import { poll } from '#local/poll'
import type { CrashPoint } from '#local/crash'
import type { RunView } from '#lib/core/store'
import { violations } from '#scripts/chaos/violations'
import type { Receiver } from '#scripts/chaos/receiver'
import { bodyOf, type Scenario } from '#tests/crash/scenarios'
import type { World } from '#tests/world'

/** What came of one crash. */
export interface CrashReport {
  reached: boolean
  runs: RunView[]
  problems: string[]
}

const servers = [0, 1]
/** A death after the very last call shows only when the supervisor has seen it. */
const noticedMs = 3_000

async function arm(world: World, server: number, point: CrashPoint | null): Promise<void> {
  await world.http('POST', '/api/local/crash', point ?? {}, {}, server)
}

/** Starts a server again at once, without the supervisor's growing pause between deaths. */
export async function revive(world: World, server: number): Promise<void> {
  await world.stack.halt(`server-${server}`)
  world.stack.resume(`server-${server}`)
}

/** Ends the lease that a dead process left behind, as its clock would do some seconds later. */
export async function expireLease(world: World, agent: string): Promise<void> {
  await world.sql(`update baton.agents set lease_until = baton.clock() where id = $1 and lease_owner is not null`, [agent])
}

/** Sends as a good client does: the same key again, at another server, until somebody answers. */
async function sendUntilAnswered(
  world: World,
  agent: string,
  scenario: Scenario,
  index: number,
  first: number,
  hook: string,
): Promise<string> {
  const message = scenario.messages[index]
  if (message === undefined) throw new Error(`${scenario.name} has no message ${index}`)
  let server = first
  for (let attempt = 0; attempt < 60; attempt++) {
    const reply = await world
      .send(agent, bodyOf(message.answers), {
        prefer: 'wait=20',
        ...message.options,
        key: `${agent}-${index}`,
        server,
        ...(scenario.webhook === true && { webhook: { url: hook } }),
      })
      .catch(() => null)
    if (reply !== null && reply.status < 300) return String(reply.body['runId'])
    if (reply !== null && reply.status < 500) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`)
    server = 1 - server
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nobody answered for ${agent}`)
}

/**
 * Plays a scenario with both servers armed for one death, and checks what is left: the runs ended and every invariant holds.
 * `first` is the server the messages go to.
 */
export async function crashAt(
  world: World,
  receiver: Receiver,
  scenario: Scenario,
  agent: string,
  point: CrashPoint,
  first: number,
): Promise<CrashReport> {
  await Promise.all(servers.map((server) => world.stack.waitReady(`server-${server}`)))
  const before = [...world.stack.info.pids.servers]
  for (const server of servers) await arm(world, server, point)
  let playedAt = Number.POSITIVE_INFINITY
  const dead = (): number[] => servers.filter((server) => world.stack.info.pids.servers[server] !== before[server])
  // Beside the calls, for a death may come while a request is under way.
  const watching = poll(() => dead().length > 0 || performance.now() > playedAt + noticedMs, { everyMs: 10, forMs: 60_000 }).then(
    async () => {
      const [victim] = dead()
      if (victim === undefined) return false
      await Promise.all([revive(world, victim), arm(world, 1 - victim, null).catch(() => undefined)])
      await expireLease(world, agent)
      // A server that was revived before it was composed may hold the point still.
      await world.stack.waitReady(`server-${victim}`)
      return true
    },
  )
  const ids: string[] = []
  for (const index of scenario.messages.keys()) ids.push(await sendUntilAnswered(world, agent, scenario, index, first, receiver.url))
  const runs: RunView[] = []
  for (const id of ids) runs.push(await ended(world, id))
  // What is told after the end (outbox marks, webhooks) may be where it dies.
  const hooked = scenario.webhook === true
  const told = async (): Promise<boolean> => {
    const rows = await world.sql<{ open: string }>(
      `select (select count(*) from baton.outbox o where o.agent_uid = a.agent_uid and o.sent_at is null)
        + (select count(*) from baton.webhook_deliveries d where d.agent_uid = a.agent_uid and d.state = 'pending') as open from baton.agents a where a.id = $1`,
      [agent],
    )
    return Number(rows[0]?.open) === 0
  }
  if (!(await poll(told, { everyMs: 50, forMs: 3_000 }))) {
    // A worker that died holds its delivery for a minute.
    if (hooked) await world.sql(`update baton.webhook_deliveries set next_at = baton.clock() where state = 'pending'`)
    await poll(told, { everyMs: 50, forMs: 15_000 })
  }
  playedAt = performance.now()
  const reached = await watching
  for (const server of servers) await arm(world, server, null).catch(() => undefined)
  const problems = await violations({ sql: world.sql, effects: await effectsOf(world), agents: [agent] })
  if (hooked)
    for (const id of ids)
      if (receiver.ids(id).length !== 1) problems.push(`webhook event ids of ${id}: ${JSON.stringify(receiver.ids(id))}`)
  return { reached, runs, problems }
}

async function ended(world: World, runId: string): Promise<RunView> {
  let last: Record<string, unknown> | undefined
  const over = await poll(
    async () => {
      ;[last] = await world.sql(`select run_id, state, due_at, wait_kind, crashes, ended_at from baton.runs where run_id = $1`, [runId])
      return last?.['ended_at'] != null
    },
    { everyMs: 30, forMs: 40_000 },
  )
  if (!over) throw new Error(`${runId} has not ended: ${JSON.stringify(last)}`)
  for (const server of servers) {
    const view = await world.http('GET', `/api/runs/${runId}`, undefined, {}, server).catch(() => null)
    if (view !== null && view.status === 200) return view.body as unknown as RunView
  }
  return world.run(runId)
}

async function effectsOf(world: World): ReturnType<World['effects']> {
  await world.stack.waitReady('server-0')
  return world.effects()
}
