import { afterEach, expect, test, vi } from 'vitest'
import { ResponseLog } from '#lib/api/responses-log'
import { streamResponse } from '#lib/api/responses-read'
import type { StreamContext } from '#lib/api/stream'
import type { RunView } from '#lib/core/store'
import { testServices } from '#lib/http/services.fixture'

afterEach(() => void vi.useRealTimers())

test('the stream of a response breaks before its function ends, so that no client takes half an answer for a whole one', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { clock, ...parts } = testServices({ maxDurationMs: 30_000, hardMarginMs: 5_000 })
  const page = { ok: true, data: [], more: false, lastSeq: 0, epoch: 1, committedSeq: 0, activeRunId: null, runOpen: true, blockedBy: null }
  const services = {
    ...parts,
    // Nothing ever happens in this run.
    clock: {
      ...clock,
      sleep: (_ms: number, signal?: AbortSignal) => new Promise<void>((done) => signal?.addEventListener('abort', () => done())),
    },
    store: { listEvents: () => Promise.resolve(page) },
    live: { watch: () => () => undefined },
  }
  const request = new Request('http://localhost/v1/responses/resp_1?stream=true')
  const context = { services, request, caller: { kind: 'operator', rateKey: 'local' } } as unknown as StreamContext
  const head = {
    runId: 'run_1',
    agentId: 'a',
    model: 't',
    createdAt: '2026-01-01T00:00:00Z',
    metadata: {},
    queued: false,
    previousRunId: null,
  }
  const log = new ResponseLog(head, { from: null, liveText: true })
  const run = { id: 'run_1', agentUid: '0' } as unknown as RunView
  let state = 'open'
  const response = streamResponse(context, run, { log, events: [], after: 0 })
  void response.text().then(
    () => (state = 'ended'),
    () => (state = 'broken'),
  )
  await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0), { timeout: 60_000, interval: 1 })
  vi.advanceTimersByTime(26_000)
  vi.useRealTimers()
  await vi.waitFor(() => expect(state).toBe('broken'), 60_000)
})
