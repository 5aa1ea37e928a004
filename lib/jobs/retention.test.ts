import { expect, test } from 'vitest'
import type { Pruned } from '#lib/core/operations'
import { testServices } from '#lib/http/services.fixture'
import { retain } from '#lib/jobs/retention'

const none = { agents: 0, idempotency: 0, outbox: 0, deliveries: 0, approvals: 0, ledger: 0, keys: 0, audit: 0 }

/** What the job does where so many batches are left, each of which takes so long. */
function run(batches: number, batchMs: number) {
  let now = 0
  let left = batches
  const prune = (): Promise<Pruned> => {
    now += batchMs
    left -= 1
    return Promise.resolve({ ok: true, ...none, events: 10, more: left > 0 })
  }
  const { config, clock, log } = testServices({ maxDurationMs: 60_000, hardMarginMs: 5_000 })
  return retain({ config, log, clock: { ...clock, monotonic: () => now }, store: { prune } })
}

test('what is older than its retention goes in batches until nothing is left', async () => {
  expect(await run(3, 1)).toEqual({ ...none, events: 30, more: false, batches: 3 })
})

test('after half of its function the job leaves the rest to the next hour, and says that there is more', async () => {
  expect(await run(100, 10_000)).toEqual({ ...none, events: 30, more: true, batches: 3 })
})
