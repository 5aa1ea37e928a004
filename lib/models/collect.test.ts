import type { TextStreamPart, ToolSet } from 'ai'
import { z } from 'zod'
import { expect, test } from 'vitest'
import { defineTool } from '#lib/core/define'
import type { ModelDelta } from '#lib/core/ports'
import { collector } from '#lib/models/collect'

const weather = defineTool({
  name: 'weather',
  description: 'Weather of a city',
  input: z.object({ city: z.string() }),
  effect: 'pure',
  run: () => 'sunny',
})

/** What becomes of the parts of a stream, as they come from the AI SDK. */
function collect(...parts: object[]) {
  const deltas: ModelDelta[] = []
  const { take, answer } = collector((delta) => deltas.push(delta))
  for (const part of parts) take(part as TextStreamPart<ToolSet>)
  return { deltas, answer: (withCalls = true) => answer([weather], withCalls) }
}
const called = (toolCallId: string, city: string, more: object = {}) => ({
  type: 'tool-call',
  toolCallId,
  toolName: 'weather',
  input: { city },
  ...more,
})

test('calls that the provider has given one id, or none, are told apart, in the history as in what is executed', async () => {
  const ids = ['a', 'a', '', '', 'a_2']
  const { content, calls } = await collect(...ids.map((id, index) => called(id, `city ${index}`))).answer()
  const made = ['a', 'a_2', 'call', 'call_2', 'a_2_2']
  expect(calls.map(({ providerCallId, input }) => [providerCallId, input])).toEqual(
    made.map((id, index) => [id, { city: `city ${index}` }]),
  )
  expect(content.map((part) => part.type === 'tool-call' && part.toolCallId)).toEqual(made)
})

test('what the provider has executed itself is no call of ours: it is neither run again nor sent back', async () => {
  const { content, calls } = await collect(called('theirs', 'Rome', { providerExecuted: true }), called('ours', 'Bern')).answer()
  expect(calls.map(({ providerCallId }) => providerCallId)).toEqual(['ours'])
  expect(content).toHaveLength(1)
})

test('what the provider wants back with a call or a text goes with it, what comes later completing what came first', async () => {
  const { content } = await collect(
    { type: 'reasoning-start', id: '0', providerMetadata: { own: { item: 'rs_1', sealed: 'first' } } },
    { type: 'reasoning-end', id: '0', providerMetadata: { own: { sealed: 'last' } } },
    called('a', 'Rome', { providerMetadata: { google: { thoughtSignature: 'signed' } } }),
  ).answer()
  expect(content).toEqual([
    // Without a word, and the next call is refused without it.
    { type: 'reasoning', text: '', providerOptions: { own: { item: 'rs_1', sealed: 'last' } } },
    { ...called('a', 'Rome'), providerOptions: { google: { thoughtSignature: 'signed' } } },
  ])
})

test('parts that are open at once are put together each by itself; empty ones without anything to keep are left out', async () => {
  const { deltas, answer } = collect(
    { type: 'text-start', id: '0' },
    { type: 'text-start', id: '1' },
    { type: 'reasoning-start', id: '0' },
    { type: 'text-start', id: 'empty' },
    { type: 'text-delta', id: '1', text: 'second' },
    { type: 'text-delta', id: '0', text: 'first ' },
    { type: 'reasoning-delta', id: '0', text: 'why' },
    { type: 'text-delta', id: '0', text: '' },
    { type: 'text-delta', id: 'never begun', text: 'lost' },
  )
  expect(deltas).toEqual([
    { kind: 'text', part: 1, text: 'second' },
    { kind: 'text', part: 0, text: 'first ' },
    { kind: 'reasoning', part: 2, text: 'why' },
  ])
  expect(await answer()).toEqual({
    content: [
      { type: 'text', text: 'first ' },
      { type: 'text', text: 'second' },
      { type: 'reasoning', text: 'why' },
    ],
    text: 'first second',
    reasoning: 'why',
    calls: [],
  })
})
