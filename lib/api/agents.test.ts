import { expect, test } from 'vitest'
import { createAgent } from '#lib/api/agents'
import { ask } from '#lib/api/ask.fixture'
import { defineAgent } from '#lib/core/define'
import { deployTemplates } from '#lib/engine/templates'

test('a key is said to be used for another body only where it was: who has too many agents is told that', async () => {
  const templates = deployTemplates([defineAgent({ id: 't', model: 'test/model', instructions: '' })], () => null)
  const refused = async (reason: string): Promise<unknown> => {
    const store = { createAgent: () => Promise.resolve({ ok: false, code: 'conflict', reason }) }
    const parts = { templates, store, markSecret: (plain: string) => plain }
    const answer = await ask(createAgent, '/api/agents', parts, { body: { template: 't' }, headers: { 'idempotency-key': 'k' } })
    const { code } = (await answer.json()) as { code: unknown }
    return [answer.status, code]
  }
  expect(await refused('other_body')).toEqual([422, 'idempotency_mismatch'])
  expect(await refused('other_template')).toEqual([422, 'idempotency_mismatch'])
  expect(await refused('too_many_agents')).toEqual([409, 'conflict'])
})
