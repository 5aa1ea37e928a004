import { expect, test } from 'vitest'
import { newTrace, readTraceparent, writeTraceparent } from '#lib/core/traceparent'

const trace = '0af7651916cd43dd8448eb211c80319c'
const span = 'b7ad6b7169203331'

test.each([
  [`00-${trace}-${span}-01`, true],
  [`00-${trace}-${span}-00`, false],
  [`00-${trace}-${span}-03`, true],
  // Newer versions may say more.
  [`01-${trace}-${span}-01-what-comes-later`, true],
])('%s is read', (text, sampled) => {
  expect(readTraceparent(text)).toEqual({ traceId: trace, spanId: span, sampled })
})

test.each([
  null,
  '',
  'hello',
  `00-${trace.toUpperCase()}-${span}-01`,
  `00-${'0'.repeat(32)}-${span}-01`,
  `00-${trace}-${'0'.repeat(16)}-01`,
  `ff-${trace}-${span}-01`,
  `00-${trace}-${span}-01-more`,
  `00-${trace}-${span}`,
  `00-${trace}-${span}-01\n`,
])('%j is none', (text) => {
  expect(readTraceparent(text)).toBeNull()
})

test('a new trace is one that can be read', () => {
  let n = 0
  const made = writeTraceparent(newTrace(() => `0190163d-8694-7398-8000-00000000000${(n += 1)}`))
  expect(made).toBe('00-0190163d869473988000000000000001-8000000000000002-00')
  expect(readTraceparent(made)).not.toBeNull()
})
