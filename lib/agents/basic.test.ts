import { expect, test } from 'vitest'
import { basic } from '#lib/agents/basic'
import { testAgent } from '#lib/testing/test-agent'

test('basic looks at the clock and answers', async () => {
  const run = await testAgent(basic, {
    message: 'What time is it?',
    script: [{ tools: [{ name: 'current_time' }] }, { text: 'It is noon.' }],
    tools: { current_time: () => '2026-11-21T12:00:00.000Z' },
  })
  expect(run).toMatchObject({ state: 'completed', stopReason: 'end_turn', output: 'It is noon.' })
  expect(run.calls).toMatchObject([
    { name: 'current_time', state: 'completed', output: { type: 'text', value: '2026-11-21T12:00:00.000Z' } },
  ])
  expect(JSON.stringify(run.requests[1]?.messages)).toContain('2026-11-21T12:00:00.000Z')
})
