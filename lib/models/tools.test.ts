import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineTool } from '#lib/core/define'
import { requestedCall } from '#lib/models/tools'

test('a schema that throws says to the model what it says of an argument that does not fit', async () => {
  const fetchPage = defineTool({
    name: 'fetch_page',
    description: '',
    input: z.object({ address: z.string().transform((text) => new URL(text)) }),
    effect: 'pure',
    run: ({ address }) => address.host,
  })
  const call = (address: string) => requestedCall({ toolCallId: 'call_1', toolName: 'fetch_page', input: { address } }, [fetchPage])
  expect(await call('nowhere')).toMatchObject({ problem: { errorType: 'validation', message: expect.stringContaining('Invalid URL') } })
  expect(await call('https://example.com')).toMatchObject({ problem: null })
})

test('an input nested deeper than 64 levels is the error of its model: stored, it would break each later call', async () => {
  const anything = defineTool({ name: 'take', description: '', input: z.looseObject({}), effect: 'pure', run: () => 'taken' })
  const deep = (levels: number): unknown => JSON.parse(`${'{"d":'.repeat(levels)}1${'}'.repeat(levels)}`)
  const call = (levels: number) => requestedCall({ toolCallId: 'call_1', toolName: 'take', input: deep(levels) }, [anything])
  expect(await call(64)).toEqual({ providerCallId: 'call_1', name: 'take', input: deep(64), problem: null })
  for (const levels of [65, 3_000]) {
    expect(await call(levels)).toMatchObject({
      input: {},
      problem: { errorType: 'validation', message: 'The input of take is nested deeper than 64 levels.' },
    })
  }
})

test('what is no object is told as it came, as far as it may be stored: an array that is nested too deep is not', async () => {
  const call = (levels: number) =>
    requestedCall({ toolCallId: 'call_1', toolName: 'take', input: JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`) }, [
      defineTool({ name: 'take', description: '', input: z.looseObject({}), effect: 'pure', run: () => 'taken' }),
    ])
  const problem = { errorType: 'validation', message: 'The input of take is not a JSON object.' }
  expect(await call(2)).toMatchObject({ input: [[]], problem })
  for (const levels of [65, 9_000]) expect(await call(levels)).toEqual({ providerCallId: 'call_1', name: 'take', input: {}, problem })
})
