import { expect, test } from 'vitest'
import { createRedactor } from '#lib/core/redact'
import { jsonLog } from '#lib/telemetry/log'

test('a line is one JSON document without secrets, whatever is put into it', () => {
  const lines: { line: string; error: boolean }[] = []
  const log = jsonLog((line, error) => lines.push({ line, error }), createRedactor(['known only here']))
  const round: Record<string, unknown> = { cookie: 'a=b' }
  round['self'] = round
  log.info('started with known only here', { headers: { authorization: 'Bearer x' }, inputTokens: 3, request_id: 'req_1' })
  log.error('failed', { error: new Error('x').message, stack: 'at postgres://a:pass@b/c', round, size: 3n })
  expect(lines.map(({ error }) => error)).toEqual([false, true])
  expect(lines.every(({ line }) => line.endsWith('\n') && !line.slice(0, -1).includes('\n'))).toBe(true)
  expect(JSON.parse(lines[0]?.line ?? '')).toMatchObject({
    level: 'info',
    message: 'started with [redacted]',
    headers: { authorization: '[redacted]' },
    inputTokens: 3,
    request_id: 'req_1',
  })
  expect(JSON.parse(lines[1]?.line ?? '')).toMatchObject({
    stack: 'at postgres://a:[redacted]@b/c',
    round: { cookie: '[redacted]', self: '[circular]' },
    size: '3',
  })
})
