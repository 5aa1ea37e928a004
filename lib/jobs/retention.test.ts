import { expect, test } from 'vitest'
import type { AgentUid } from '#lib/core/ids'
import type { Pruned, PruneRequest } from '#lib/core/operations'
import { testServices } from '#lib/http/services.fixture'
import { retain } from '#lib/jobs/retention'

const none = {
  events: 0,
  agents: 0,
  idempotency: 0,
  outbox: 0,
  deliveries: 0,
  approvals: 0,
  ledger: 0,
  counters: 0,
  keys: 0,
  audit: 0,
  counts: 0,
}
const done: Pruned = { ok: true, more: false }

/** The job where each batch takes so long and answers like this. */
function start(batchMs: number, answer: (request: PruneRequest) => Pruned) {
  let now = 0
  const prune = async (request: PruneRequest): Promise<Pruned> => {
    now += batchMs
    return answer(request)
  }
  const { config, clock, log, lines } = testServices({ maxDurationMs: 60_000, hardMarginMs: 5_000 })
  return { lines, retained: retain({ config, log, clock: { ...clock, monotonic: () => now }, store: { prune } }) }
}

/** The job where so many batches of rows are left. */
function run(batches: number, batchMs: number) {
  let left = batches
  return start(batchMs, ({ part }) => {
    if (part !== 'rows') return done
    left -= 1
    return { ok: true, audit: 10, more: left > 0 }
  }).retained
}

test('what is older than its retention goes in batches until nothing is left', async () => {
  expect(await run(3, 1)).toEqual({ ...none, audit: 30, more: false, batches: 4 })
})

test('after half of its function the job leaves the rest to the next hour, and says that there is more', async () => {
  expect(await run(100, 10_000)).toEqual({ ...none, audit: 20, more: true, batches: 3 })
})

test('an idle agent that cannot be deleted, or rows that cannot, stop nothing else, and are told', async () => {
  const giant = 'giant' as AgentUid
  const agents = ['a' as AgentUid, giant, 'b' as AgentUid, 'c' as AgentUid]
  const gone: string[] = []
  let walked = 0
  const { lines, retained } = start(1, ({ part, idle = [] }) => {
    if (part === 'rows') throw new Error('of rows')
    if (part === 'agents') return (walked += 1) === 1 ? { ok: true, events: 5, more: true, idle: agents } : done
    if (idle.includes(giant)) throw new Error('statement timeout')
    // There is no time for more than one.
    gone.push(...idle.slice(0, 1))
    return { ok: true, agents: 1, more: idle.length > 1, idle: idle.slice(1) }
  })
  await expect(retained).rejects.toThrow('of rows')
  expect([gone, walked]).toEqual([['a', 'b', 'c'], 2])
  expect(lines).toMatchObject([
    { level: 'error', fields: { part: 'rows', error: 'of rows' } },
    { level: 'error', fields: { agent_uid: 'giant', error: 'statement timeout' } },
    { level: 'info', message: 'pruned', fields: { events: 5, agents: 3, more: false } },
  ])
})
