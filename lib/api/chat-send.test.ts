import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { sendChat } from '#lib/api/chat'
import { defineAgent } from '#lib/core/define'
import type { OutboxRow } from '#lib/core/ports'
import { unlimited } from '#lib/core/rate'
import type { OpenRequest } from '#lib/core/store'
import { deployTemplates } from '#lib/engine/templates'
import { testServices } from '#lib/http/services.fixture'

const templates = deployTemplates([defineAgent({ id: 't', model: 'test/model', instructions: '' })], () => null)
const messages = [{ role: 'user', parts: [{ type: 'text', text: 'hi' }] }]

test('another answer to a run that has failed is sent on by the request that asked for it', async () => {
  const outbox = [{ id: 'out_1', kind: 'continue', data: {} }]
  const sent: OutboxRow[] = []
  const failed = { id: 'run_1', agentUid: 'uid', state: 'failed', startedAt: 'then', firstSeq: 1, lastSeq: 2 }
  const store = {
    getAgent: () => Promise.resolve({ ok: true, agent: { agentUid: 'uid', state: 'ready' } }),
    listRuns: () => Promise.resolve({ data: [failed], more: false }),
    listMessages: () => Promise.resolve({ data: [{ runId: failed.id, content: 'hi' }] }),
    retry: (_authority: unknown, { newRunId: id }: { newRunId: string }) =>
      Promise.resolve({ ok: true, replayed: false, reader: null, run: { ...failed, id, firstSeq: null, lastSeq: 2 }, outbox }),
    listEvents: () => Promise.resolve({ ok: true, data: [], more: false, blockedBy: null, lastSeq: 2 }),
  }
  const parts = {
    // Nothing happens in the new run until the reader leaves.
    clock: {
      ...testServices().clock,
      sleep: (_ms: number, signal?: AbortSignal) => new Promise<void>((done) => signal?.addEventListener('abort', () => done())),
    },
    dispatch: (rows: readonly OutboxRow[]) => void sent.push(...rows),
    live: { watch: () => () => undefined },
    templates,
    store,
  }
  const answer = await ask(sendChat, '/api/chat', parts, { body: { id: 'a', trigger: 'regenerate-message', messages } })
  await answer.body?.cancel()
  expect([answer.status, sent]).toEqual([200, outbox])
})

test('what the client asks for beside its message holds for the run: its limits, its metadata, what becomes of a run at work', async () => {
  const asked: OpenRequest[] = []
  // Refused, so that what would follow is of no matter.
  const open = (request: OpenRequest) => (asked.push(request), Promise.resolve({ ok: false, code: 'queue_full' }))
  const rates = { ...testServices().rates, agent: () => Promise.resolve({ verdict: unlimited, beside: null }) }
  const more = { template: 't', metadata: { place: 'here' }, onBusy: 'interrupt', limits: { maxSteps: 1 } }
  const answer = await ask(sendChat, '/api/chat', { rates, templates, store: { open } }, { body: { id: 'a', messages, ...more } })
  expect(answer.status).toBe(429)
  const { metadata, limits } = more
  expect(asked).toMatchObject([{ agent: { name: 'a', template: 't' }, run: { metadata, limits }, onBusy: 'interrupt' }])
})
