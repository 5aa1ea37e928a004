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

/** A run whose row the test holds in its hand, read with the tag of an answer before; waiting takes no time but that of its clock. */
function readRun() {
  const services = testServices()
  const run = {
    id: 'run_1',
    agentUid: 'uid',
    state: 'completed',
    error: null,
    costMicros: 0,
    reservedMicros: 0,
    lease: null as object | null,
  }
  const row = { run, webhooks: [{ id: 'out_1', state: 'pending', attempts: 0 }] }
  const state = { now: 0, row, passed: (): void => undefined }
  const passes = (ms: number) => {
    state.now += ms
    state.passed()
    return Promise.resolve()
  }
  const parts = {
    ...services,
    clock: { ...services.clock, now: () => state.now, monotonic: () => state.now, sleep: passes },
    store: {
      getRun: () => {
        const passing = { now: new Date(state.now).toISOString(), gateMs: state.now }
        return Promise.resolve({ ok: true, tenant: 't', switch: null, waits: null, openCalls: [], ...passing, ...state.row })
      },
    },
    live: { watch: () => () => undefined },
  }
  const read = async (known?: string | null, query = '') => {
    const headers = known == null ? {} : { 'if-none-match': known }
    const answer = await ask(getRun, `/api/runs/run_1${query}`, parts, { headers })
    return { status: answer.status, etag: answer.headers.get('etag'), kept: answer.headers.get('cache-control') }
  }
  return { state, read }
}

test('the tag of a run changes with each delivery of its webhook and when its link is renewed, not as time passes in its sentences', async () => {
  const { state, read } = readRun()
  const { row } = state
  const { etag, kept } = await read()
  // What time has changed is in the answer too, so that no browser may show an old one.
  expect(kept).toBe('no-store')
  const tags = [etag]
  const changes: (() => void)[] = [
    () => (row.webhooks = [{ id: 'out_1', state: 'pending', attempts: 1 }]),
    () => (row.webhooks = [{ id: 'out_1', state: 'delivered', attempts: 2 }]),
    () => (row.run = { ...row.run, reservedMicros: 7 }),
    () => (row.run = { ...row.run, lease: { epoch: 1, until: 'soon', live: true } }),
    () => (state.now = 300_000),
  ]
  for (const change of changes) {
    const known = tags.at(-1) ?? ''
    for (const same of [known, `"x", W/${known}`]) expect((await read(same)).status).toBe(304)
    change()
    const next = await read(known)
    expect(next.status).toBe(200)
    tags.push(next.etag)
  }
  expect(new Set(tags).size).toBe(tags.length)
  row.run = { ...row.run, lease: { epoch: 1, until: 'later', live: true } }
  state.now = 599_999
  expect((await read(tags.at(-1))).status).toBe(304)
})

test('a wait for a change is not over because the link would be renewed; a change that the row tells of ends it', async () => {
  const { state, read } = readRun()
  state.row.run = { ...state.row.run, state: 'awaiting_approval' }
  state.now = 290_000
  const { etag } = await read()
  expect((await read(etag, '?wait=20')).status).toBe(200)
  expect(state.now).toBe(310_000)
  state.passed = () => {
    if (state.now >= 311_000) state.row.webhooks = [{ id: 'out_1', state: 'delivered', attempts: 1 }]
  }
  expect((await read((await read()).etag, '?wait=20')).status).toBe(200)
  expect(state.now).toBeLessThan(313_000)
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
