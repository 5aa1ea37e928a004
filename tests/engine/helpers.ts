import { expect } from 'vitest'
import { textOf } from '#lib/core/decide'
import type { Opened } from '#lib/core/run'
import { poll } from '#local/poll'
import type { Answer, Reply, SendOptions, World } from '#tests/world'
import { script } from '#tests/world'

/** The id of the run that an answer names. */
export function runOf(reply: Reply): string {
  const runId = reply.body['runId'] ?? reply.body['id']
  if (typeof runId !== 'string') throw new Error(`no run in ${reply.status} ${JSON.stringify(reply.body)}`)
  return runId
}

/** Polls until `holds`; throws with `what` otherwise. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, forMs = 60_000): Promise<void> {
  if (!(await poll(holds, { everyMs: 100, forMs }))) throw new Error(`not within ${forMs} ms: ${what}`)
}

/** Begins a run in the background and waits until its first model call (or the tool `name`) has begun. */
export async function begun(
  world: World,
  agent: string,
  answers: Answer[],
  options: SendOptions & { tool?: string } = {},
): Promise<string> {
  const { tool, ...send } = options
  const reply = await world.send(agent, script(...answers), { prefer: 'respond-async', ...send })
  expect(reply.status).toBe(202)
  const runId = runOf(reply)
  await until(`${agent} is at work`, async () =>
    (await world.effects({ runId })).some((line) => (tool === undefined ? line.kind === 'model' : line.name === tool)),
  )
  return runId
}

/** Waits until the run waits for a retry. */
export async function waiting(world: World, runId: string): Promise<void> {
  await until(`${runId} waits`, async () => (await world.run(runId)).state === 'waiting')
}

/** What users and the model have said, in order: the text of scripts is left out. */
export async function said(world: World, agent: string): Promise<string[]> {
  const rows = await world.messages(agent)
  return rows.map(
    ({ role, content }) => `${role}: ${typeof content === 'string' ? content : textOf(content as Opened['window'][number]['content'])}`,
  )
}

/** The runs of an agent in the order in which they began or, where they did not, were accepted. */
export async function runsOf(
  world: World,
  agent: string,
): Promise<{ id: string; state: string; stopReason: string | null; startedAt: string | null; output: string | null }[]> {
  const reply = await world.http('GET', `/api/agents/${agent}/runs?limit=200`)
  const rows = (reply.body['data'] ?? []) as Awaited<ReturnType<typeof runsOf>>
  return rows.toSorted((a, b) => (a.startedAt ?? '9').localeCompare(b.startedAt ?? '9') || a.id.localeCompare(b.id))
}

interface Booked extends Record<string, unknown> {
  cost: string
  reserved: string
  ledger: string
  open: string
}

/** Checks that the run's cost is the sum of its reservations and that none is left open; answers the rows. */
export async function booked(world: World, runId: string): Promise<{ state: string; micros: number; cost: number }[]> {
  const [row] = await world.sql<Booked>(
    `select r.cost_micros as cost, r.reserved_micros as reserved, coalesce(sum(v.cost_micros), 0) as ledger, count(*) filter (where v.state = 'reserved') as open
     from baton.runs r left join baton.reservations v using (run_id) where r.run_id = $1 group by r.run_id`,
    [runId],
  )
  expect(row).toMatchObject({ cost: row?.ledger, reserved: '0', open: '0' })
  const rows = await world.sql<{ state: string; micros: string; cost_micros: string }>(
    'select state, micros, cost_micros from baton.reservations where run_id = $1 order by created_at, id',
    [runId],
  )
  return rows.map(({ state, micros, cost_micros }) => ({ state, micros: Number(micros), cost: Number(cost_micros) }))
}

/** One command straight to the gateway, as the Upstash client would send it. Throws when it is refused. */
export async function redis(world: World, ...command: string[]): Promise<unknown> {
  const response = await fetch(String(world.stack.info.redisUrl), {
    method: 'POST',
    headers: { authorization: `Bearer ${String(world.stack.info.redisToken)}` },
    body: JSON.stringify(command),
    signal: AbortSignal.timeout(60_000),
  })
  if (!response.ok) throw new Error(`${command[0]}: ${response.status} ${await response.text()}`)
  return ((await response.json()) as { result: unknown }).result
}
