import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { repairAgent } from '#lib/api/consistency'
import type { OutboxRow } from '#lib/core/ports'

test('what a repair wakes is sent on by the request that asked for it', async () => {
  const sent: OutboxRow[] = []
  const outbox = [{ id: 'out_1', kind: 'continue', data: {} }]
  const store = {
    repairAgent: () => Promise.resolve({ ok: true, agentId: 'ill', agentUid: 'uid', findings: [], repaired: [], left: [], outbox }),
  }
  const dispatch = (rows: readonly OutboxRow[]) => void sent.push(...rows)
  const answer = await ask(repairAgent, '/api/agents/ill/repair', { store, dispatch }, { body: {} })
  expect([answer.status, sent]).toEqual([200, outbox])
})
