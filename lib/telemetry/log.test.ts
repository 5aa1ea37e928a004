import { expect, test } from 'vitest'
import { createRedactor } from '#lib/core/redact'
import { createLog } from '#lib/telemetry/log'

function setUp(format: 'json' | 'text', fields: Record<string, unknown> = {}) {
  const lines: { line: string; error: boolean }[] = []
  const log = createLog({
    write: (line, error) => lines.push({ line, error }),
    redact: createRedactor(['known only here']),
    format,
    fields: () => fields,
  })
  return { log, lines }
}

test('a line is one JSON document without secrets, whatever is put into it', () => {
  const { log, lines } = setUp('json')
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

test('a line carries what the work around it carries, under one name each', () => {
  const { log, lines } = setUp('json', { request_id: 'req_1', trace_id: 'abc', run_id: 'run_1', tenant_id: 'ten', agent_id: 'a' })
  log.info('step', { runId: 'run_2', step: 3, durationMs: 12 })
  expect(Object.keys(JSON.parse(lines[0]?.line ?? ''))).toEqual([
    'timestamp',
    'level',
    'message',
    'request_id',
    'trace_id',
    'run_id',
    'tenant_id',
    'agent_id',
    'step',
    'duration_ms',
  ])
  expect(JSON.parse(lines[0]?.line ?? '')).toMatchObject({ run_id: 'run_2', step: 3, duration_ms: 12 })
})

test('text for people has the same, and no secrets either', () => {
  const { log, lines } = setUp('text', { request_id: 'req_1' })
  log.warn('a model call failed', { code: 'provider_unavailable', token: 'x', usage: { input: 3 } })
  expect(lines[0]?.line).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} warn  a model call failed request_id=req_1 code=provider_unavailable token=\[redacted\] usage=\{"input":3\}\n$/,
  )
})

test('fields that cannot be read are left out of their line, and whoever logs them goes on; an error tells its words', () => {
  const { log, lines } = setUp('json', { request_id: 'req_1' })
  const trap = {
    get depth(): number {
      throw new Error('gone')
    },
  }
  log.warn('paid', { order: 7, trap })
  log.warn('paid', { order: 7, cause: new TypeError('no such key: password=hunter22') })
  expect(lines.map(({ line }) => JSON.parse(line) as unknown)).toMatchObject([
    { message: 'paid', request_id: 'req_1', fields: '[unreadable]' },
    { message: 'paid', order: 7, cause: expect.stringMatching(/^TypeError: no such key: .*\[redacted\]$/) as string },
  ])
})
