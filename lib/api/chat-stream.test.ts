import { afterEach, expect, test, vi } from 'vitest'
import { streamChat } from '#lib/api/chat-stream'
import { testServices } from '#lib/http/services.fixture'

afterEach(() => void vi.useRealTimers())

test('a chat stream breaks before its function ends, so that no client takes half an answer for a whole one', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { config, log, clock } = testServices({ maxDurationMs: 30_000, hardMarginMs: 5_000 })
  const page = {
    ok: true as const,
    data: [],
    more: false,
    lastSeq: 0,
    epoch: 1,
    committedSeq: 0,
    activeRunId: null,
    runOpen: true,
    blockedBy: null,
  }
  const services = {
    config,
    log,
    // Nothing ever happens in this run.
    clock: {
      ...clock,
      sleep: (_ms: number, signal?: AbortSignal) => new Promise<void>((done) => signal?.addEventListener('abort', () => done())),
    },
    store: { listEvents: () => Promise.resolve(page) },
    live: { watch: () => () => undefined },
  }
  const request = new Request('http://localhost/api/chat/a/stream')
  const response = streamChat(
    { services, request, caller: { kind: 'operator', rateKey: 'local' } },
    { agentUid: '0', runId: 'run_1', after: 0, position: null },
  )
  const text = response.text().then(
    () => 'ended',
    () => 'broken',
  )
  await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0))
  vi.advanceTimersByTime(26_000)
  vi.useRealTimers()
  expect(await text).toBe('broken')
})
