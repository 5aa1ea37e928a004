import { expect, test } from 'vitest'
import { createAgent, patchAgent } from '#lib/api/agents'
import { decideApproval } from '#lib/api/approvals'
import { ask } from '#lib/api/ask.fixture'
import { sendMessage } from '#lib/api/messages'
import { defineAgent } from '#lib/core/define'
import { deployTemplates } from '#lib/engine/templates'

const price = () => ({ inputMicrosPerMillion: 1, outputMicrosPerMillion: 1 })
const templates = deployTemplates([defineAgent({ id: 't', model: 'test/model', instructions: '' })], price)

test.each([
  { endpoint: sendMessage, path: '/api/agents/a/messages', body: { message: 'x', overrides: {} }, beyond: ['overrides'] },
  {
    endpoint: createAgent,
    path: '/api/agents',
    body: { template: 't', overrides: {}, permission: {} },
    beyond: ['overrides', 'permission'],
  },
  { endpoint: patchAgent, path: '/api/agents/a', body: { metadata: {}, alwaysAllowed: [] }, beyond: ['alwaysAllowed'] },
  { endpoint: decideApproval, path: '/api/approvals/apr_1', body: { decision: 'allow', always: true }, beyond: ['always'] },
])('the database is told which fields of $path are not for a user: $beyond', async ({ endpoint, path, body, beyond }) => {
  const asked: unknown[] = []
  const refuse = (request: { credential: unknown }) => {
    asked.push(request.credential)
    return Promise.resolve({ ok: false, code: 'forbidden' })
  }
  const store = { open: refuse, createAgent: refuse, patchAgent: refuse, getApproval: refuse }
  await ask(endpoint, path, { store, templates }, { body, headers: { authorization: 'Bearer user-1' } })
  expect(asked).toEqual([{ user: { id: 'user-1', tenant: 'ten_users', beyond } }])
})
