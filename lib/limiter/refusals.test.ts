import { expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { unlimited } from '#lib/core/rate'
import { createRefusals, type Refusals } from '#lib/limiter/refusals'

const authority: Authority = { environment: 'test', credential: { keyHash: 'x' }, requestId: null }
const verdict = { ...unlimited, which: { name: 'key', key: 'k', limit: 5, windowMs: 60_000, cost: 1 } }

test('a flood is one entry a minute and caller, with the count of what was not told before', async () => {
  const time = { now: 0 }
  const told: Refusals[] = []
  const warnings: string[] = []
  const log = { info() {}, error() {}, warn: (message: string) => void warnings.push(message) }
  const refusals = createRefusals(
    async (one) => {
      told.push(one)
      if (told.length === 3) throw new Error('away')
    },
    { monotonic: () => time.now },
    log,
  )
  for (let n = 0; n < 10; n++) await refusals.note(authority, 'one', verdict)
  expect(told.map(({ count, limit, perWindow }) => [count, limit, perWindow])).toEqual([[1, 'key', 5]])
  await refusals.note(authority, 'other', verdict)
  expect(told).toHaveLength(2)
  time.now = 60_000
  await refusals.note(authority, 'one', verdict)
  expect(told.at(-1)?.count).toBe(10)
  expect(warnings).toHaveLength(1)
})

test('so many callers are remembered: one that a thousand others have pushed out is told as new', async () => {
  const told: Refusals[] = []
  const log = { info() {}, error() {}, warn() {} }
  const refusals = createRefusals(async (one) => void told.push(one), { monotonic: () => 0 }, log)
  const flood = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await refusals.note(authority, `other-${n}`, verdict)
  }
  await refusals.note(authority, 'one', verdict)
  await flood(0, 999)
  expect(refusals.note(authority, 'one', verdict)).toBeNull()
  await flood(999, 1_000)
  await refusals.note(authority, 'one', verdict)
  expect(told).toHaveLength(1_002)
})
