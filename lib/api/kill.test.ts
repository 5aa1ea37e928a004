import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { setSwitch } from '#lib/api/kill'
import type { OutboxRow } from '#lib/core/ports'

test('what a kill has written, the webhooks of runs that it ended among it, is sent on by its request', async () => {
  const sent: OutboxRow[] = []
  const outbox = [{ id: 'out_1', kind: 'webhook', data: {} }]
  const answer = { ok: true, switch: { scope: 'agent:a' }, agentUid: 'uid', ended: 1, more: false, outbox }
  const parts = {
    store: { setSwitch: () => Promise.resolve(answer) },
    dispatch: (rows: readonly OutboxRow[]) => void sent.push(...rows),
    live: { halt: () => Promise.resolve() },
  }
  const reply = await ask(setSwitch, '/api/kill', parts, { body: { scope: 'agent:a', mode: 'kill', reason: 'a test' } })
  expect([reply.status, sent]).toEqual([200, outbox])
})
