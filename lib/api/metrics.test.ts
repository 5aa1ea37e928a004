import { expect, test } from 'vitest'
import { readSamples } from '#lib/api/metrics'
import type { Sample } from '#lib/core/metrics'
import type { Store } from '#lib/core/pages'
import { testServices } from '#lib/http/services.fixture'
import type { Caller } from '#lib/http/caller'
import type { Services } from '#lib/services'

const never = <Value>(): Promise<Value> => new Promise(() => undefined)

/** What an operator is told where no counts come and this answers whether the database is there. */
async function scraped(hasKeys: Store['hasKeys']): Promise<{ samples: readonly Sample[]; says: string | undefined }> {
  const services = testServices()
  const store: Pick<Store, 'readMetrics' | 'hasKeys'> = { readMetrics: never, hasKeys }
  // All time-outs are over at once, yet behind what is answered at once.
  const clock = { ...services.clock, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) }
  const given = { ...services, store, clock } as unknown as Services
  const { samples } = await readSamples(given, { kind: 'operator' } as Caller)
  return { samples, says: services.lines[0]?.message }
}

test('counts that do not come in time are no sign that the database is away where it answers otherwise', async () => {
  const answers = await scraped(() => Promise.resolve(true))
  expect(answers.samples).toEqual([['baton_part_up', { part: 'postgres' }, '', 1]])
  expect(answers.says).toMatch(/^the database answers/)
  const away = await scraped(never)
  expect(away.samples).toEqual([['baton_part_up', { part: 'postgres' }, '', 0]])
  expect(away.says).toMatch(/^the database does not answer/)
})
