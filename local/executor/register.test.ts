import { describe, expect, it } from 'vitest'
import { defineFunction } from '#local/executor/register'

const base = {
  id: 'app-f',
  triggers: [{ event: 'e' }],
  steps: { step: { runtime: { type: 'http', url: 'http://localhost:3000/api/inngest' } } },
}

describe('defineFunction', () => {
  it.each([
    ['batchEvents', { ...base, batchEvents: { maxSize: 5, timeout: '1s' } }],
    ['cancel', { ...base, cancel: [{ event: 'stop' }] }],
    ['debounce', { ...base, debounce: { period: '1s' } }],
    ['rateLimit', { ...base, rateLimit: { limit: 1, period: '1s' } }],
    ['throttle', { ...base, throttle: { limit: 1, period: '1s' } }],
    ['singleton', { ...base, singleton: { mode: 'skip' } }],
    ['idempotency', { ...base, idempotency: 'event.data.x' }],
    ['priority', { ...base, priority: { run: '1' } }],
    ['timeouts', { ...base, timeouts: { start: '1s' } }],
    ['jitter', { ...base, triggers: [{ cron: '* * * * *', jitter: '1s' }] }],
    ['not a cron', { ...base, triggers: [{ cron: 'not a cron' }] }],
    ['TZ=Nowhere', { ...base, triggers: [{ cron: 'TZ=Nowhere/Town * * * * *' }] }],
    ['app/*', { ...base, triggers: [{ event: 'app/*' }] }],
    ['inngest/function.finished', { ...base, triggers: [{ event: 'inngest/function.finished' }] }],
    ['event.data.n > 1', { ...base, triggers: [{ event: 'e', expression: 'event.data.n > 1' }] }],
    ['event.data[0]', { ...base, concurrency: { limit: 1, key: 'event.data[0]' } }],
    ['without a key', { ...base, concurrency: { limit: 1, scope: 'env' as const } }],
  ])('refuses %s, naming it and the dev server', (part, config) => {
    expect(() => defineFunction(config)).toThrow(part)
    expect(() => defineFunction(config)).toThrow('npx inngest-cli dev')
  })

  it('counts attempts and shares slots by scope', () => {
    const slotOf = (id: string, scope: 'fn' | 'env' | 'account'): string | undefined =>
      defineFunction({ ...base, id, concurrency: [{ limit: 2, key: 'event.data.k', scope }] }).limits[0]?.slot({
        event: { data: { k: 'v' } },
      })
    expect(slotOf('a', 'env')).toBe(slotOf('b', 'env'))
    expect(slotOf('a', 'fn')).not.toBe(slotOf('b', 'fn'))
    expect(slotOf('a', 'env')).not.toBe(slotOf('a', 'account'))
    expect(defineFunction(base).maxAttempts).toBe(5)
    expect(defineFunction({ ...base, steps: { step: { ...base.steps.step, retries: { attempts: 0 } } } }).maxAttempts).toBe(1)
    expect(defineFunction({ ...base, concurrency: 0 }).limits).toHaveLength(0)
  })

  it('reads a cron with a time zone and with seconds', () => {
    const next = (cron: string): string | undefined => {
      const trigger = defineFunction({ ...base, triggers: [{ cron }] }).triggers[0]
      return trigger?.kind === 'cron' ? trigger.next(new Date('2026-11-21T00:00:00Z'))?.toISOString() : undefined
    }
    expect(next('TZ=Europe/Berlin 0 3 * * *')).toBe('2026-11-21T02:00:00.000Z')
    expect(next('0 3 * * *')).toBe('2026-11-21T03:00:00.000Z')
    expect(next('*/5 * * * * *')).toBe('2026-11-21T00:00:05.000Z')
  })
})
