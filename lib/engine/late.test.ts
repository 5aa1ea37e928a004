import { expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { settleLate } from '#lib/engine/late'

const request = { agentUid: 'uid', runId: 'run_1', settle: [] } as unknown as Parameters<typeof settleLate>[1]

/** A store that refuses as often as there are errors, and how often it was asked. */
function refusing(...errors: BatonError[]): { store: Parameters<typeof settleLate>[0]; asked: () => number } {
  let asked = 0
  const settle = () => {
    const error = errors[asked++]
    return error === undefined ? Promise.resolve() : Promise.reject(error)
  }
  return { store: { settle }, asked: () => asked }
}

test('what a call really cost is booked again where others held the rows, three times at most; another error is told at once', async () => {
  const busy = new BatonError('idempotency_busy', 'busy')
  const twice = refusing(busy, busy)
  await settleLate(twice.store, request)
  expect(twice.asked()).toBe(3)
  const ever = refusing(busy, busy, busy, busy)
  await expect(settleLate(ever.store, request)).rejects.toBe(busy)
  expect(ever.asked()).toBe(3)
  const away = refusing(new BatonError('database_unavailable', 'away'))
  await expect(settleLate(away.store, request)).rejects.toMatchObject({ code: 'database_unavailable' })
  expect(away.asked()).toBe(1)
})
