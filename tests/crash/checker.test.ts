import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Evidence, Sql } from '#scripts/chaos/checks/evidence'
import type { Effect } from '#scripts/chaos/effects'
import { startReceiver, type Receiver } from '#scripts/chaos/receiver'
import { checks, headline, violations } from '#scripts/chaos/violations'
import { plants } from '#tests/crash/plants'
import { until } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

const usage = { input: 1_000, output: 100 }
const finished = { text: 'finished', usage }

let world: World
let receiver: Receiver
let client: pg.Client
let good: Evidence & { effects: Effect[] }
const sql: Sql = async (text, values = []) => (await client.query<Record<string, unknown>>(text, values)).rows

/** Three agents that have done all that is looked at, and everything that was seen of them. */
beforeAll(async () => {
  world = await startWorld()
  receiver = await startReceiver()
  await world.http('PUT', '/api/budgets/agent:tools', { limitMicros: 1_000_000, period: 'lifetime' })
  const tools = [
    { name: 'echo', input: { value: 1 } },
    { name: 'count', input: { key: 'k' } },
    { name: 'charge', input: { key: 'c', cents: 5 } },
  ]
  const wait = { tools: [{ name: 'wait', input: { ms: 300 } }], usage }
  const accepted = new Map<string, string>()
  const send = async (agent: string, text: string, options: object): Promise<void> => {
    const reply = await world.send(agent, text, { prefer: 'wait=20', key: agent, ...options })
    accepted.set(agent, String(reply.body['runId']))
  }
  await send('tools', script({ tools, usage }, finished), {})
  await send('handed', script(wait, finished), { limits: { sliceMs: 100 } })
  await send('hooked', script(finished), { webhook: { url: receiver.url } })
  for (const runId of accepted.values()) await world.ended(runId)
  await until('all is sent', async () => (await world.sql('select 1 from baton.outbox where sent_at is null')).length === 0)
  await until('the webhook has come', async () => receiver.all().size === 1)
  await until(
    'it is delivered',
    async () => (await world.sql(`select 1 from baton.webhook_deliveries where state = 'pending'`)).length === 0,
  )
  client = new pg.Client({ connectionString: String(world.stack.info.databaseUrl) })
  await client.connect()
  const seqs = (await world.events('tools')).map((event) => event.seq)
  good = {
    sql,
    effects: await world.effects(),
    agents: null,
    accepted,
    followed: [{ agent: 'tools', seqs }],
    switches: [],
    passedLimits: [],
    arrivals: receiver.all(),
  }
})
afterAll(async () => {
  await client.end()
  await receiver.close()
  await world.close()
})

test('a world where nothing went wrong has no violations', async () => {
  expect(await violations(good)).toEqual([])
})

test('there is a plant for each check, and each invariant has a check', () => {
  expect(Object.keys(plants).toSorted()).toEqual(checks.map(({ name }) => name).toSorted())
  expect([...new Set(checks.map(({ invariant }) => invariant))].toSorted((one, other) => one - other)).toEqual(
    Array.from({ length: 12 }, (_, index) => index + 1),
  )
})

test.each(checks.map((check) => [headline(check), check.name] as const))('%s: a planted one is named', async (head, name) => {
  const plant = plants[name]
  await client.query('begin')
  try {
    if (plant?.sql !== undefined) expect((await client.query(plant.sql)).rowCount, 'rows planted').toBeGreaterThan(0)
    const found = await violations({ ...good, ...(await plant?.seen?.(good, sql)) })
    expect(found.filter((violation) => violation.startsWith(`${head}: `)).length, found.join('\n')).toBeGreaterThan(0)
  } finally {
    await client.query('rollback')
  }
})
