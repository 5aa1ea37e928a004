import { expect, test } from 'vitest'
import { createResponseBody } from '#lib/api/responses-input'

test('null is a field that was left out, whether it is supported or not; inside the input it is none', () => {
  const nothing = { instructions: null, temperature: null, tools: null, metadata: null, stream: null }
  expect(createResponseBody.parse({ model: 't', input: 'x', ...nothing })).toEqual({ model: 't', input: 'x' })
  expect(createResponseBody.safeParse({ model: 't', input: [{ role: null, content: 'x' }] }).success).toBe(false)
  expect(createResponseBody.safeParse({ model: 't', input: 'x', tools: [] }).success).toBe(false)
})
