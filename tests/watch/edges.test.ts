import { afterAll, beforeAll, expect, test } from 'vitest'
import { answered, authority, commit, completed, hold, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

/* What health, alerts and metrics say at their bounds, as no other test noticed (scripts/mutations/found-in-reports). */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const sweep = (environment: string) => kit.store.sweep({ environment, everyMs: 0, resendMs: 0, limit: 10 })

test('a clock that has never called is as late as the first work that it should have looked for is old', async () => {
  const late = async () => (await kit.store.health({ environment: 'new', ownTenant: 'one', keyHash: null })).lastSweepAgeMs
  expect(await late()).toBeNull()
  await sweep('new')
  await kit.advance(600_000)
  expect(await late()).toBeGreaterThanOrEqual(600_000)
})

test('an account that is used up fails its provider, as a refused key does; a request that was wrong says nothing of it', async () => {
  const held = await hold(kit, 'quota')
  const told = async (outcome: string) => {
    await commit(kit, held, { model: { name: 'broke/model', outcome, ms: 1 }, progress: false })
    const { providers } = await kit.store.health({ environment: 'test', ownTenant: 'one', keyHash: null })
    return providers?.map(({ code, failures }) => [code, failures])
  }
  expect(await told('provider_quota')).toEqual([['provider_quota', 1]])
  expect(await told('provider_auth')).toEqual([['provider_auth', 2]])
  expect(await told('bad_request')).toEqual([])
})

test('a line that was raised again since it was given is told again, though the first telling was confirmed after it', async () => {
  const environment = 'raised'
  const raise = (line: string) => kit.sql(`select baton.raise_alert($1, 'webhook:x', $2)`, [environment, line])
  const given = async () => (await sweep(environment)).alerts.map(({ text }) => text)
  await raise('first')
  expect(await given()).toEqual(['first'])
  await kit.advance(601_000)
  await raise('second')
  await kit.store.alertsTold({ environment, causes: ['webhook:x'] })
  await kit.advance(601_000)
  expect(await given()).toEqual(['second'])
})

test('of more series than an environment may have none is made new, and those that stand go on', async () => {
  await kit.store.ensureTenant({ id: 'full', environment: 'full', secret: 'sealed' })
  await kit.sql(`insert into baton.metric_totals (environment, name, labels, part, value)
    select 'full', 'baton_tool_calls_total', jsonb_build_object('tool', 't' || g), '', 1 from generate_series(1, 10000) g`)
  const count = (tool: string) => `["baton_tool_calls_total", {"tool": "${tool}"}, "", 1]`
  await kit.sql(`insert into baton.metric_deltas (environment, counts) values ('full', $1)`, [`[${count('t7')}, ${count('one-more')}]`])
  await sweep('full')
  const totals = await kit.sql(`select labels ->> 'tool' as tool, value from baton.metric_totals
    where environment = 'full' and labels ->> 'tool' in ('t7', 'one-more')`)
  expect(totals).toEqual([{ tool: 't7', value: 2 }])
  const credential = { operator: { tenant: 'full', name: 'tester' } }
  expect(await kit.store.readMetrics({ ...authority, environment: 'full', credential }, 'full')).toMatchObject({ ok: true })
})

test('each agent stands in one state: one that is held while something waits for it is paused', async () => {
  await kit.store.ensureTenant({ id: 'few', environment: 'few', secret: 'sealed' })
  const few = { ...authority, environment: 'few', credential: { operator: { tenant: 'few', name: 'tester' } } }
  await hold(kit, 'at-work', few)
  await commit(kit, await hold(kit, 'idle', few), answered(), completed)
  ok(await kit.store.setSwitch(few, { scope: 'agent:held', mode: 'hold', reason: 'a test' }))
  ok(await kit.store.open(openRequest('held', few)))
  const { samples } = ok(await kit.store.readMetrics(few, 'few'))
  const of = (name: string) => samples.filter((sample) => sample[0] === name).map(([, labels, , value]) => [labels['state'], value])
  expect(of('baton_agents')).toEqual([
    ['ready', 1],
    ['working', 1],
    ['paused', 1],
  ])
  expect(of('baton_runs_open')).toContainEqual(['waiting', 1])
})
