import { expect, test } from 'vitest'
import { createTelemetry } from '#lib/telemetry/telemetry'
import { systemIds } from '#lib/system/ids'

test('a span ends with its work, also with one that fails, and says so', async () => {
  const spans: string[] = []
  const start = (info: { name: string }) => ({
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    set: () => undefined,
    fail: (type: string) => void spans.push(`${info.name} ${type}`),
    end: () => void spans.push(`${info.name} ended`),
  })
  const { span } = createTelemetry({
    ids: systemIds(),
    recorder: () => Promise.resolve({ start, flush: () => Promise.resolve() }),
    log: console,
  })
  const info = (name: string) => ({ name, kind: 'internal' as const, attributes: {} })
  expect(await span(info('works'), () => Promise.resolve('done'))).toBe('done')
  await expect(span(info('fails'), () => Promise.reject(new TypeError('no')))).rejects.toThrow('no')
  expect(spans).toEqual(['works ended', 'fails TypeError', 'fails ended'])
})

test('where no recorder can be made all is done without one; it is told once', async () => {
  const told: unknown[] = []
  const recorder = () => Promise.reject(new Error('no such module'))
  const log = { error: (_what: string, fields?: object) => void told.push(fields) }
  const { span, traceparent, flush } = createTelemetry({ ids: systemIds(), recorder, log })
  const work = () => Promise.resolve(traceparent())
  for (const name of ['first', 'second']) expect(await span({ name, kind: 'internal', attributes: {} }, work)).toMatch(/^00-/)
  await flush()
  expect(told).toEqual([{ error: 'no such module' }])
})
