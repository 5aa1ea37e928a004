import { expect } from 'vitest'
import { until, runsOf } from '#tests/engine/helpers'
import type { Answer, Reply, World } from '#tests/world'
import { script } from '#tests/world'

/** Sets a kill or hold through one of the servers; the answer and the instant at which it came. */
export async function setSwitch(
  world: World,
  scope: string,
  { mode = 'kill', server = 1, reason = 'a test' }: { mode?: 'kill' | 'hold'; server?: number; reason?: string } = {},
): Promise<{ body: Record<string, unknown>; at: number }> {
  const reply = await world.http('POST', '/api/kill', { scope, mode, reason }, {}, server)
  expect(reply).toMatchObject({ status: 200, body: { scope, mode, reason, actor: 'local' } })
  return { body: reply.body, at: Date.now() }
}

/** Lifts what `setSwitch` has set. */
export async function lift(world: World, scope: string, server = 1): Promise<Record<string, unknown>> {
  const reply = await world.http('DELETE', `/api/kill/${encodeURIComponent(scope)}`, undefined, {}, server)
  expect(reply).toMatchObject({ status: 200, body: { scope, lifted: true } })
  return reply.body
}

/** A run that a server executes for a caller who waits, from its first effect on. */
export interface Started {
  runId: string
  caller: Promise<Reply>
}

/** Sends the script to a server that runs it itself, and waits until its model (or the tool of that name) is at work. */
export async function running(world: World, agent: string, answers: Answer[], server = 0, tool?: string): Promise<Started> {
  const caller = world.send(agent, script(...answers), { prefer: 'wait=25', server })
  await until(`${agent} is at work`, async () => (await runsOf(world, agent))[0]?.state === 'running')
  const runId = (await runsOf(world, agent))[0]?.id ?? ''
  await until(`${agent} has its effect`, async () =>
    (await world.effects({ runId })).some((line) => (tool === undefined ? line.kind === 'model' : line.name === tool)),
  )
  return { runId, caller }
}

/** Milliseconds from `from` (this machine's clock) to the end of the run; the tests of a file that use it never move the clock. */
export async function msToEnd(world: World, runId: string, from: number): Promise<number> {
  const run = await world.ended(runId)
  return Date.parse(run.endedAt ?? '') - from
}
