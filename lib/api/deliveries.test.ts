import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { getDelivery } from '#lib/api/deliveries'
import { createRedactor } from '#lib/core/redact'

test('a delivery is shown as it was sent, without secrets', async () => {
  const delivery = { id: 'dlv_1', number: 1, payload: { type: 'run.completed', data: { output: 'password=hunter2' } } }
  const store = { getDelivery: () => Promise.resolve({ ok: true, delivery }) }
  const answer = await ask(getDelivery, '/api/webhooks/whe_1/deliveries/dlv_1', { store, redact: createRedactor([]) })
  expect(await answer.json()).toEqual({ id: 'dlv_1', payload: { type: 'run.completed', data: { output: 'password=[redacted]' } } })
})
