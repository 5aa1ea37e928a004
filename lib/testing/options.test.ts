import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import { testAgent, type TestOptions } from '#lib/testing/test-agent'

const refund = defineTool({ name: 'refund', description: 'Pays back', input: z.object({}), effect: 'once', run: () => 'paid' })
const count = defineTool({ name: 'count', description: 'Counts', input: z.object({}), effect: 'pure', run: () => 1 })
const support = defineAgent({ id: 'support', model: 'anthropic/claude-haiku-4-5', instructions: 'Help.', limits: { maxSteps: 5 } })

/** Several turns of the event loop, as a look into a database takes. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test('what the template’s own code takes its time for has the time that it has in production', async () => {
  const slow = defineTool({
    name: 'slow',
    description: 'Stops a little after its signal',
    input: z.object({}),
    effect: 'idempotent',
    timeoutMs: 5,
    async run(_input, { signal }) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await turns()
      throw new Error('stopped')
    },
  })
  const asked = defineAgent({ ...support, tools: [slow], permission: { mode: 'custom', decide: () => turns().then(() => 'allow') } })
  const run = await testAgent(asked, { script: [{ tools: [{ name: 'slow' }] }, { text: 'Sorry' }] })
  expect(run.calls).toMatchObject([{ state: 'failed', output: { value: 'The tool did not end in time.' } }])
})

const outside = defineTool({ name: 'outside', description: '', input: z.object({}), effect: 'external', output: z.string() })

const refused: [what: string, options: Partial<TestOptions>, says: string][] = [
  ['a rule for no tool', { permission: { deny: ['refnd'] } }, 'permission/deny/0: refnd matches no tool of the template'],
  ['a mode that is none', { permission: { mode: 'never' as 'auto' } }, 'permission/mode: '],
  ['a limit above the template’s', { limits: { maxSteps: 6 } }, 'limits/maxSteps: 6 is above the 5 of the template'],
  ['a limit that is no number', { limits: { maxTokens: Number.POSITIVE_INFINITY } }, 'limits/maxTokens: '],
  ['a limit that is none', { limits: { maxStep: 1 } as object }, 'limits: '],
  ['a stand-in for no tool', { tools: { refnd: () => 1 } }, 'tools: refnd is no tool of the template; it has refund, count, outside'],
  ['a stand-in that cannot run', { tools: { refund: 1 as never } }, 'tools: refund is no function'],
  ['a stand-in for an external tool', { tools: { outside: () => 1 } }, 'tools: outside is done outside; answer for it in `external`'],
  ['an answer for no tool', { external: { outsde: () => 1 } }, 'external: outsde is no tool of the template'],
  ['an answer for a tool that runs', { external: { count: () => 1 } }, 'external: count runs here; give its stand-in in `tools`'],
]

test('what the API would refuse, and names of tools that are none, are told and nothing runs', async () => {
  const template = defineAgent({ ...support, tools: [refund, count, outside] })
  for (const [what, options, says] of refused)
    await expect(testAgent(template, { script: [{ text: 'Done' }], ...options }), what).rejects.toThrow(`testAgent: ${says}`)
})

test('a result from outside fits what the tool says of its output', async () => {
  const template = defineAgent({ ...support, tools: [outside] })
  const script = [{ tools: [{ name: 'outside' }] }, { text: 'Done' }]
  await expect(testAgent(template, { script, external: { outside: () => 5 } })).rejects.toThrow('the result of outside does not fit')
  expect((await testAgent(template, { script, external: { outside: () => 'five' } })).calls).toMatchObject([{ output: { value: 'five' } }])
})

test('a tool may have the name of what every object has', async () => {
  const odd = defineTool({ name: 'constructor', description: '', input: z.object({}), effect: 'pure', run: () => 'its own' })
  const run = await testAgent(defineAgent({ ...support, tools: [odd] }), {
    tools: {},
    script: [{ tools: [{ name: 'constructor' }] }, { text: 'ok' }],
  })
  expect(run.calls).toMatchObject([{ state: 'completed', output: { value: 'its own' } }])
})
