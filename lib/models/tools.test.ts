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
  const call = (address: string) =>
    requestedCall({ toolCallId: 'call_1', toolName: 'fetch_page', input: { address }, malformed: false }, [fetchPage])
  expect(await call('nowhere')).toMatchObject({ problem: { errorType: 'validation', message: expect.stringContaining('Invalid URL') } })
  expect(await call('https://example.com')).toMatchObject({ problem: null })
})
