import { afterAll, beforeAll, expect, test } from 'vitest'
import { violations } from '#scripts/chaos/violations'
import { startProxy, type Proxy } from '#tests/crash/proxy'
import { script, startWorld, type World } from '#tests/world'

let world: World
let supabase: Proxy
let inngest: Proxy
beforeAll(async () => {
  supabase = await startProxy()
  inngest = await startProxy()
  const starting = startWorld({
    env: { SUPABASE_URL: supabase.url, INNGEST_DEV: inngest.url, BATON_SWEEP_EVERY: '2s', BATON_LEASE_MS: '30000' },
  })
  world = await starting
  supabase.target = world.stack.info.supabaseUrl
  inngest.target = world.stack.info.inngestUrl
})
afterAll(async () => {
  await world.close()
  await Promise.all([supabase.close(), inngest.close()])
})

const check = async (...agents: string[]): Promise<void> => {
  expect(await violations({ sql: world.sql, effects: await world.effects(), agents: agents })).toEqual([])
}

/** The nth call of an RPC meets the fate, once. */
function strike(proxy: Proxy, name: string, nth: number, fate: 'lose_reply' | 'lose_request' | 500): void {
  let seen = 0
  proxy.struck = 0
  proxy.fate = (_method, path) => (path.endsWith(`/${name}`) && ++seen === nth ? fate : 'pass')
}

const charging = (key: string): string =>
  script(
    {
      tools: [
        { name: 'charge', input: { key, cents: 5 } },
        { name: 'echo', input: { value: 1 } },
      ],
      usage: { input: 1_000, output: 100 },
    },
    { text: 'finished' },
  )

test.each([
  ['baton_open', 1, 'lose_reply'],
  ['baton_open', 1, 'lose_request'],
  ['baton_commit', 1, 'lose_reply'],
  ['baton_commit', 2, 'lose_reply'],
  ['baton_commit', 3, 'lose_reply'],
  ['baton_commit', 1, 'lose_request'],
  ['baton_commit', 3, 500],
] as const)('invariant 3: %s number %i is repeated under its id (%s) and applied once', async (name, nth, fate) => {
  const agent = `lost-${name}-${nth}-${fate}`
  strike(supabase, name, nth, fate)
  const reply = await world.send(agent, charging(agent), { prefer: 'wait=25' })
  supabase.fate = () => 'pass'
  expect(supabase.struck).toBe(1)
  expect(reply.body).toMatchObject({ status: 'done', output: 'finished' })
  // Nobody took over: it was the same slice all along.
  expect(await world.sql(`select lease_epoch::int as epoch from baton.agents where id = $1`, [agent])).toEqual([{ epoch: 1 }])
  expect(await world.effects({ key: agent })).toHaveLength(1)
  await check(agent)
})

test('invariant 3: a reply of claim that is lost is asked for again and finds the same lease', async () => {
  strike(supabase, 'baton_claim', 1, 'lose_reply')
  const reply = await world.send('lost-claim', charging('lost-claim'), { prefer: 'respond-async' })
  const run = await world.ended(String(reply.body['runId']))
  supabase.fate = () => 'pass'
  expect(supabase.struck).toBe(1)
  expect(run).toMatchObject({ state: 'completed', output: 'finished', slices: 1, crashes: 0 })
  await check('lost-claim')
})

test('A50: a commit that is refused half way leaves nothing of the step behind, and the step is repeated', async () => {
  // The answer's second table fails: its messages had been written in the same transaction.
  await world.sql(`create function baton.refuse_once() returns trigger language plpgsql as $$ begin raise exception 'half way'; end $$`)
  await world.sql(
    `create trigger half_way before insert on baton.tool_calls for each row when (new.name = 'charge') execute function baton.refuse_once()`,
  )
  let commits = 0
  supabase.fate = (_method, path) => {
    if (path.endsWith('/baton_commit')) commits += 1
    return 'pass'
  }
  const sending = world.send('half', charging('half'), { prefer: 'wait=25' })
  try {
    // The second try shows that the first one came to nothing.
    await expect.poll(() => commits, { timeout: 60_000 }).toBeGreaterThan(1)
    const rows = await world.sql(
      `select (select count(*)::int from baton.messages m where m.agent_uid = a.agent_uid) as messages, (select count(*)::int from baton.tool_calls c where c.agent_uid = a.agent_uid) as calls,
        (select count(*)::int from baton.events e where e.agent_uid = a.agent_uid and e.type = 'usage') as usages from baton.agents a where a.id = 'half'`,
    )
    expect(rows).toEqual([{ messages: 1, calls: 0, usages: 0 }])
  } finally {
    await world.sql(`drop trigger half_way on baton.tool_calls`)
  }
  const run = await world.ended(String((await sending).body['runId']))
  expect(run).toMatchObject({ state: 'completed', output: 'finished' })
  expect(await world.effects({ key: 'half' })).toHaveLength(1)
  await check('half')
})

test('invariant 7: an executor that answers 500 delays a run, and the sweeper finds it within two periods', async () => {
  let refusals = 0
  inngest.fate = (_method, path) => (path.startsWith('/e/') ? (refusals++, 500) : 'pass')
  const reply = await world.send('five-hundred', script({ text: 'finished', delayMs: 600 }, { text: 'finished' }), {
    prefer: 'respond-async',
  })
  expect(reply.status).toBe(202)
  await expect.poll(() => refusals, { timeout: 60_000 }).toBeGreaterThan(2)
  expect((await world.run(String(reply.body['runId']))).state).toBe('running')
  inngest.fate = () => 'pass'
  // Two periods of 2 s, the answer's own delay, and much room for a busy machine.
  const run = await world.ended(String(reply.body['runId']), 60_000)
  expect(run).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  await check('five-hundred')
})
