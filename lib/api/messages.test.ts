import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { defineAgent } from '#lib/core/define'
import type { OutboxRow } from '#lib/core/ports'
import { noRates } from '#lib/core/rate'
import type { OpenRequest } from '#lib/core/store'
import { opened } from '#lib/core/state.fixture'
import { begin, type SendContext } from '#lib/api/messages'
import { deployTemplates } from '#lib/engine/templates'
import { testServices } from '#lib/http/services.fixture'
import { createLive } from '#lib/live/live'
import { systemClock } from '#lib/system/clock'
import { memoryStore } from '#lib/testing/memory-store'
import { scriptedAnswers } from '#lib/testing/scripted-answers'

const leaseMs = 6_000
const hardLimitMs = 55_000
const template = defineAgent({ id: 't', model: 'test/model', instructions: '' })
const price = () => ({ inputMicrosPerMillion: 1, outputMicrosPerMillion: 1 })
const fresh = () => opened({ lease: { sliceId: 'slice_7', epoch: 4, leaseMs } })

/** A message whose model answers when the test says so; the clock is vitest's. */
async function sendIt() {
  const state = fresh()
  const sent: OutboxRow[] = []
  const swept: string[] = []
  const answers = Promise.withResolvers<void>()
  const memory = memoryStore(state)
  const { model } = scriptedAnswers([{ text: 'hello' }])
  const { agentUid, run } = state
  const opens = (request: OpenRequest) => {
    const facts = { ok: true, tenant: 't', agentUid, template: 't', replayed: false, halt: false, reader: null, mayRead: true, fromSeq: 0 }
    return Promise.resolve({ ...facts, run: { ...run, id: request.run.id }, opened: state, blockedBy: null, outbox: [], reserved: 'none' })
  }
  const base = { ...testServices({ leaseMs, maxDurationMs: hardLimitMs + 5_000, hardMarginMs: 5_000 }), clock: systemClock() }
  const services = {
    ...base,
    store: { ...memory, open: opens },
    model: { ...model, call: async (...call: Parameters<typeof model.call>) => (await answers.promise, model.call(...call)) },
    live: createLive({ ...base, redis: null, commandTimeoutMs: 1, processId: 'one' }),
    templates: deployTemplates([template], price),
    rates: { ...base.rates, ...noRates },
    price,
    queue: { send: (rows: readonly OutboxRow[]) => (sent.push(...rows), Promise.resolve()) },
    onEffect: () => undefined,
    dispatch: () => undefined,
    settled: () => Promise.resolve(),
    sweep: (when: string) => Promise.resolve(void swept.push(when)),
  }
  const context = {
    services,
    request: new Request('http://localhost/api/agents/a/messages', { method: 'POST' }),
    params: { id: 'a' },
    body: { message: 'hi' },
    rawBody: null,
    idempotencyKey: null,
    prefer: { waitMs: 25_000, respondAsync: false, applied: null },
    caller: { kind: 'operator', rateKey: 'local', credential: { operator: { tenant: 't', name: 'local' } }, requestId: 'req_1' },
    background: () => undefined,
  }
  const { slice } = await begin(context as unknown as SendContext, { executes: true, streams: false })
  const end = async () => {
    answers.resolve()
    return (await slice?.done)?.kind
  }
  return { sent, swept, end }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a request that has run for five seconds arms a continuation for when its process is dead: after its hard limit and its lease', async () => {
  const { sent, end } = await sendIt()
  await vi.advanceTimersByTimeAsync(4_999)
  expect(sent).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  const data = { tenantId: 't', agentUid: fresh().agentUid, runId: 'run_1', epoch: 4 }
  expect(sent).toEqual([{ id: 'deadman_slice_7', kind: 'continue', data, dueInMs: hardLimitMs - 5_000 + leaseMs }])
  expect(await end()).toBe('ended')
  await vi.advanceTimersByTimeAsync(60_000)
  expect(sent).toHaveLength(1)
})

test('a request that has ended before arms nothing, and leaves no timer', async () => {
  const { sent, end } = await sendIt()
  await vi.advanceTimersByTimeAsync(4_000)
  expect(vi.getTimerCount()).toBeGreaterThan(0)
  expect(await end()).toBe('ended')
  await vi.advanceTimersByTimeAsync(0)
  expect(vi.getTimerCount()).toBe(0)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(sent).toEqual([])
})

test('behind what a request has run it looks for runs that were lost: the clock of a deployment may stand still', async () => {
  const { swept, end } = await sendIt()
  await vi.advanceTimersByTimeAsync(1)
  expect(swept).toEqual([])
  expect(await end()).toBe('ended')
  await vi.advanceTimersByTimeAsync(0)
  expect(swept).toEqual(['beside'])
})
