import { expect, test } from 'vitest'
import { metrics, readSamples } from '#lib/api/metrics'
import { BatonError } from '#lib/core/errors'
import type { Sample } from '#lib/core/metrics'
import type { Store } from '#lib/core/pages'
import { testServices } from '#lib/http/services.fixture'
import type { Caller } from '#lib/http/caller'
import { handle } from '#lib/http/handle'
import type { Services } from '#lib/services'

const never = <Value>(): Promise<Value> => new Promise(() => undefined)

/** What an operator is told where no counts come and this answers whether the database is there. */
async function samplesWhere(hasKeys: Store['hasKeys']): Promise<{ samples: readonly Sample[]; says: string | undefined }> {
  const services = testServices()
  const store: Pick<Store, 'readMetrics' | 'hasKeys'> = { readMetrics: never, hasKeys }
  // All time-outs are over at once, yet behind what is answered at once.
  const clock = { ...services.clock, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) }
  const given = { ...services, store, clock } as unknown as Services
  const { samples } = await readSamples(given, { kind: 'operator' } as Caller)
  return { samples, says: services.lines[0]?.message }
}

test('counts that do not come in time are no sign that the database is away where it answers otherwise', async () => {
  const answers = await samplesWhere(() => Promise.resolve(true))
  expect(answers.samples).toEqual([['baton_part_up', { part: 'postgres' }, '', 1]])
  expect(answers.says).toMatch(/^the database answers/)
  const away = await samplesWhere(never)
  expect(away.samples).toEqual([['baton_part_up', { part: 'postgres' }, '', 0]])
  expect(away.says).toMatch(/^the database does not answer/)
})

/** What a scrape with the token answers where the database answers so. */
async function scrape(readMetrics: () => Promise<unknown>, cronEnabled = true): Promise<{ status: number; lines: string[] }> {
  const services = { ...testServices({ cronEnabled }), store: { readMetrics } }
  services.clock.sleep = () => new Promise(() => undefined)
  const routes = handle([metrics], {
    services: () => Promise.resolve(services as unknown as Services),
    background: () => undefined,
    fallbackLog: services.log,
  })
  const response = await routes.GET(
    new Request('http://localhost:3000/api/metrics', { headers: { authorization: 'Bearer metrics-token' } }),
  )
  const text = await response.text()
  return { status: response.status, lines: text.split('\n').filter((line) => !line.startsWith('#') && line !== '') }
}

test('a deployment without a clock of its own tells neither how long it has been silent nor that Inngest is away', async () => {
  const samples: Sample[] = [
    ['baton_sweep_age_seconds', {}, '', 9_999],
    ['baton_due_lag_seconds', {}, '', 7],
  ]
  const told = async (cronEnabled: boolean) =>
    (await scrape(() => Promise.resolve({ ok: true, now: '2026-01-01T00:00:00Z', samples }), cronEnabled)).lines.filter((line) =>
      /due_lag_seconds|sweep_age|part_up/.test(line),
    )
  expect(await told(true)).toEqual([
    'baton_part_up{part="inngest"} 0',
    'baton_part_up{part="postgres"} 1',
    'baton_due_lag_seconds 7',
    'baton_sweep_age_seconds 9999',
  ])
  expect(await told(false)).toEqual(['baton_part_up{part="postgres"} 1', 'baton_due_lag_seconds 7'])
})

test('a database that takes no call of ours is told as away, one that answers with a fault is an error', async () => {
  for (const code of ['database_unavailable', 'not_configured'] as const)
    expect(await scrape(() => Promise.reject(new BatonError(code, 'no')))).toEqual({
      status: 200,
      lines: ['baton_part_up{part="postgres"} 0'],
    })
  expect((await scrape(() => Promise.reject(new BatonError('internal_error', 'no')))).status).toBe(500)
})
