import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { getRun } from '#lib/api/runs'
import { testServices } from '#lib/http/services.fixture'

test('a wait for a run that does not change is answered before its function ends, however long it was to be', async () => {
  let now = 0
  const { clock, ...services } = testServices({ maxDurationMs: 30_000, hardMarginMs: 5_000 })
  const run = { id: 'run_1', agentUid: 'uid', state: 'running', updatedAt: '', lastSeq: 1, wait: null, lease: null }
  const parts = {
    ...services,
    clock: { ...clock, monotonic: () => now, sleep: (ms: number) => Promise.resolve(void (now += ms)) },
    store: { getRun: () => Promise.resolve({ ok: true, run, switch: null }) },
    live: { watch: () => () => undefined },
  }
  const answer = await ask(getRun, '/api/runs/run_1?wait=300', parts, { headers: { 'if-none-match': '*' } })
  expect([answer.status, now]).toEqual([304, 25_000])
})
