import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { violations } from '#scripts/chaos/violations'
import type { ApprovalView } from '#lib/core/approvals'
import { poll } from '#local/poll'
import { acting, charging, templates } from '#tests/approvals/acting'
import { startWorld, type World } from '#tests/world'

let world: World
const { callsOf, charges, decide, eventsOf } = acting(() => world)
beforeAll(async () => {
  world = await startWorld({ env: { ...templates, BATON_SWEEP_EVERY: '1s', BATON_HASTE: '10' } })
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 120_000 })

const points = [
  ['after', 'baton_commit', 1],
  ['before', 'baton_decide', 1],
  ['after', 'baton_decide', 1],
  ['after', 'baton_commit', 2],
  ['before', 'tool', 1],
  ['after', 'baton_commit', 3],
] as const

/** What a caller would do whose connection broke: look, and ask again until the run has ended. */
async function endedByDeciding(agent: string): Promise<string> {
  let runId = ''
  const over = await poll(
    async () => {
      const [row] = await world.sql<{ run_id: string; ended: boolean }>(
        'select r.run_id, r.ended_at is not null as ended from baton.runs r join baton.agents a using (agent_uid) where a.id = $1',
        [agent],
      )
      runId = row?.run_id ?? ''
      if (row === undefined || row.ended) return row?.ended ?? false
      const inbox = await world.http('GET', `/api/approvals?state=pending&agent=${agent}`).catch(() => null)
      for (const approval of (inbox?.body['data'] ?? []) as ApprovalView[]) {
        await decide(approval.id, { decision: 'allow' }).catch(() => undefined)
      }
      return false
    },
    { everyMs: 150, forMs: 60_000 },
  )
  if (!over) throw new Error(`${agent} has not ended`)
  return runId
}

test.each(points)('a server that dies %s %s (%i): decided once, run at most once, nothing dangles', async (at, call, nth) => {
  const agent = `dies-${at}-${call}-${nth}`.replaceAll('_', '-')
  await world.stack.waitReady()
  const pid = world.stack.info.pids.servers[0]
  expect((await world.http('POST', '/api/local/crash', { at, call, nth })).status).toBe(200)
  await world.send(agent, charging(agent), { template: 'asks', prefer: 'wait=5', key: agent }).catch(() => undefined)
  const runId = await endedByDeciding(agent)
  await world.stack.waitReady()
  expect(world.stack.info.pids.servers[0], 'the point was reached').not.toBe(pid)
  expect(await eventsOf(agent, 'approval_decided')).toHaveLength(1)
  const [record] = await callsOf(agent)
  // Where the process died between the start's commit and the outcome's, the call is sealed and never repeated.
  const effects = await charges(agent)
  expect(record?.state === 'sealed' ? [0, 1] : [1]).toContain(effects)
  expect(record?.state).toMatch(/^(completed|sealed)$/)
  expect(await world.run(runId)).toMatchObject({ state: 'completed' })
  await poll(async () => (await world.sql('select 1 from baton.outbox where sent_at is null')).length === 0, {
    everyMs: 100,
    forMs: 15_000,
  })
  expect(await violations({ sql: world.sql, effects: await world.effects(), agents: [agent] })).toEqual([])
})
