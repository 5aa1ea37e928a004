import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { cancelRun, getRun, interruptAgent } from '#lib/api/runs'
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

test.each([
  { endpoint: cancelRun, path: '/api/runs/run_1/cancel' },
  { endpoint: interruptAgent, path: '/api/agents/a/interrupt' },
])('$path tells the process that executes the run at once, wherever that is', async ({ endpoint, path }) => {
  const told: object[] = []
  const run = { id: 'run_1', agentUid: 'uid', state: 'running', costMicros: 0 }
  const parts = {
    store: { stop: () => Promise.resolve({ ok: true, halt: true, mayRead: true, tenant: 't', agentUid: 'uid', run }) },
    dispatch: () => undefined,
    live: { halt: (target: object) => Promise.resolve(void told.push(target)) },
  }
  const answer = await ask(endpoint, path, parts, { body: {} })
  expect([answer.status, told]).toEqual([202, [{ agentUid: 'uid', runId: 'run_1' }]])
})
