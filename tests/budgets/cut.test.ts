import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { localTemplates } from '#local/scripted/extra'
import { booked, runOf } from '#tests/engine/helpers'
import { fake } from '#tests/fake-provider/script'
import { startFakeProvider, type FakeProvider } from '#tests/fake-provider/server'
import { startWorld, type World } from '#tests/world'

let provider: FakeProvider
let world: World
beforeAll(async () => {
  provider = await startFakeProvider()
  world = await startWorld({
    real: ['models'],
    env: {
      ANTHROPIC_API_KEY: 'test',
      ANTHROPIC_BASE_URL: provider.baseUrl,
      OPENAI_COMPATIBLE_API_KEY: 'test',
      OPENAI_COMPATIBLE_BASE_URL: provider.baseUrl,
      BATON_PRICE_CEILING: '20,100',
      ...localTemplates({
        templates: [
          { id: 'claude', model: 'anthropic/claude-sonnet-4-6' },
          { id: 'unpriced', model: 'compatible/unpriced' },
        ],
      }),
    },
  })
})
afterAll(async () => {
  await world.close()
  await provider.close()
})

const wait = { prefer: 'wait=25' }
const asked = z.object({ max_tokens: z.number() })
const maxTokens = (mark: string): number[] =>
  provider.requests.filter(({ body }) => JSON.stringify(body).includes(mark)).map(({ body }) => asked.parse(body).max_tokens)

test('the output that is asked for is cut to what the budget has left', async () => {
  await world.send('whole', fake({ text: 'mark-whole', usage: { input: 10, output: 5 } }), { ...wait, template: 'claude' })
  const [whole = 0] = maxTokens('mark-whole')
  // The whole answer alone would cost 4,096 x $15 a million: 61,440 micro-dollars.
  await world.http('PUT', '/api/budgets/agent:cut', { limitMicros: 40_000 })
  const reply = await world.send('cut', fake({ text: 'mark-cut', usage: { input: 10, output: 5 } }), { ...wait, template: 'claude' })
  expect(reply.body).toMatchObject({ status: 'done', output: 'mark-cut', costMicros: 105 })
  const [cut = 0] = maxTokens('mark-cut')
  expect(cut).toBeLessThan(whole)
  expect(cut).toBeGreaterThanOrEqual(256)
  const [row] = await booked(world, runOf(reply))
  expect(row).toMatchObject({ micros: 40_000, cost: 105 })
  expect((await world.events('cut')).filter((event) => event.type === 'budget')).toMatchObject([{ lowered: true, maxOutputTokens: cut }])
  // Where not even a short answer fits, nothing is asked.
  await world.http('PUT', '/api/budgets/agent:none', { limitMicros: 1_000 })
  const none = await world.send('none', fake({ text: 'mark-none' }), { ...wait, template: 'claude' })
  expect([none.status, none.body['code'], maxTokens('mark-none')]).toEqual([402, 'budget_exceeded', []])
})

test('A67: with a ceiling a model without a price is taken to cost that', async () => {
  const reply = await world.send('ceiling', fake({ text: 'mark-ceiling', usage: { input: 1_000, output: 10 } }), {
    ...wait,
    template: 'unpriced',
  })
  expect(reply.body).toMatchObject({ status: 'done', costMicros: 1_000 * 20 + 10 * 100 })
})
