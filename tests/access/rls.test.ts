import { createClient } from '@supabase/supabase-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, say, signUp, startGuarded, type SignedUp } from '#tests/access/kit'
import { script, type World } from '#tests/world'

const views = ['agents', 'runs', 'messages', 'events', 'tool_calls'] as const

let world: World
let alice: SignedUp
let bob: SignedUp
beforeAll(async () => {
  world = await startGuarded()
  alice = await signUp(world, 'alice@example.com')
  bob = await signUp(world, 'bob@example.com')
  const withTool = { message: script({ tools: [{ name: 'echo', input: { value: 'x' } }] }, { text: 'done' }) }
  for (const [credential, agent] of [
    [alice.token, 'of-alice'],
    [bob.token, 'of-bob'],
    [adminKey, 'of-nobody'],
  ] as const)
    expect((await say(world, credential, agent, withTool)).status).toBe(200)
})
afterAll(() => world.close())

test('each of two signed-up users reads its own rows by the views and no other row', async () => {
  for (const who of [alice, bob]) {
    for (const view of views) {
      const { data, error } = await who.client.from(`baton_${view}`).select('owner_id')
      expect({ view, error }).toEqual({ view, error: null })
      expect({ view, owners: [...new Set(data?.map((row) => String(row['owner_id'])))] }).toEqual({ view, owners: [who.id] })
    }
  }
})

test("asking for another's rows by name gives none", async () => {
  for (const view of views) {
    const { data } = await bob.client.from(`baton_${view}`).select('agent_uid').eq('owner_id', alice.id)
    expect({ view, data }).toEqual({ view, data: [] })
  }
  expect((await bob.client.from('baton_agents').select('id').in('id', ['of-alice', 'of-nobody'])).data).toEqual([])
})

test('nobody reads the sealed secrets and settings of an agent, not even its owner', async () => {
  const { data } = await alice.client.from('baton_agents').select('*')
  expect(data).toHaveLength(1)
  for (const hidden of ['webhook', 'settings', 'last_answer']) {
    expect(Object.keys(data?.[0] as object)).not.toContain(hidden)
    expect((await alice.client.from('baton_agents').select(hidden)).error).not.toBeNull()
  }
})

test('no table is reached directly, nothing can be written, and no function can be called', async () => {
  for (const table of [...views, 'tenants', 'api_keys', 'audit', 'inbox', 'reservations']) {
    expect({ table, read: (await alice.client.from(table).select('*')).error === null }).toEqual({ table, read: false })
    expect({ table, read: (await alice.client.schema('baton').from(table).select('*')).error === null }).toEqual({ table, read: false })
  }
  for (const view of views) {
    const written = await alice.client.from(`baton_${view}`).update({ owner_id: bob.id }).eq('owner_id', alice.id)
    const removed = await alice.client.from(`baton_${view}`).delete().eq('owner_id', alice.id)
    const added = await alice.client.from(`baton_${view}`).insert({ owner_id: alice.id })
    expect({ view, done: [written, removed, added].filter(({ error }) => error === null) }).toEqual({ view, done: [] })
  }
  const operator = { environment: 'local', credential: { operator: { tenant: 'ten_local', name: 'local' } } }
  const verbs = await world.sql<{ name: string }>(
    `select proname as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' and proname like 'baton\\_%'`,
  )
  expect(verbs.length).toBeGreaterThan(25)
  for (const { name } of verbs)
    expect({ name, called: (await alice.client.rpc(name, { p: operator })).error === null }).toEqual({ name, called: false })
  expect(await world.sql('select count(*)::integer as agents from baton.agents')).toEqual([{ agents: 3 }])
})

test('without signing in, the publishable key reads nothing', async () => {
  const anybody = createClient(String(world.stack.info.supabaseUrl), String(world.stack.info.publishableKey), {
    auth: { persistSession: false },
  })
  for (const view of views) {
    const { data } = await anybody.from(`baton_${view}`).select('*')
    expect(data ?? []).toEqual([])
  }
})
