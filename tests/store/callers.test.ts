import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import type { Credential } from '#lib/core/store'
import { createStore } from '#lib/store/store'
import { poll } from '#local/poll'
import { asUser, authority, commit, hold, ids, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
const alice = ids.uuid()
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

let made = 0
/** A key of a tenant, as stored. */
async function key(
  more: { tenant?: string; environment?: string; scopes?: string[] } = {},
): Promise<{ id: string; hash: string; credential: Credential }> {
  const { tenant = 'one', environment = 'test', scopes = ['admin'] } = more
  const hash = (made += 1).toString(16).padStart(64, '0')
  const id = ids.make('key')
  await kit.sql(
    `insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by) values ($1, $2, $3, $4, 'bt_', 'x', $5, 'test')`,
    [id, tenant, environment, hash, scopes],
  )
  return { id, hash, credential: { keyHash: hash } }
}

/** What authorize makes of a request. */
async function authorized(request: object, needed = 'agents:read'): Promise<Record<string, unknown>> {
  const rows = await kit.sql<{ answer: Record<string, unknown> }>('select baton.authorize($1, $2) as answer', [
    JSON.stringify(request),
    needed,
  ])
  return rows[0]?.answer ?? {}
}

test('whatever a request says of who asks is replaced by the credential', async () => {
  const { id, credential } = await key({ scopes: ['agents:read'] })
  const lie = { tenant: 'other', caller: 'admin', ownerId: alice, ownOnly: false, onlyAgent: alice, rights: ['admin'], line: 'key:x' }
  const answer = await authorized({ ...lie, environment: 'test', credential })
  expect(answer).toEqual({ environment: 'test', credential, tenant: 'one', caller: `key:${id}`, rights: ['agents:read'] })
  const user = await authorized({ ...lie, environment: 'test', credential: asUser(alice) })
  expect(user).toMatchObject({
    tenant: 'one',
    caller: `user:${alice}`,
    ownerId: alice,
    ownOnly: true,
    rights: ['agents:read', 'agents:run'],
  })
})

test('no credential, an unknown kind of one, and a hash that is none are nobody', async () => {
  for (const credential of [
    undefined,
    null,
    {},
    { keyHash: '' },
    { keyHash: null },
    { admin: true },
    'operator',
    ['user'],
    { operator: 'x' },
    { user: {} },
    { stream: null },
  ])
    expect(await authorized({ environment: 'test', credential })).toEqual({ ok: false, code: 'unauthorized' })
  const { credential } = await key()
  for (const environment of ['elsewhere', '', undefined])
    expect(await authorized({ environment, credential })).toMatchObject({ code: 'unauthorized' })
})

test('a right may be one of several; what only one has been refused for is audited once', async () => {
  const { id, credential } = await key({ scopes: ['approvals:decide'] })
  expect(await authorized({ environment: 'test', credential }, 'agents:read|approvals:decide')).toMatchObject({ caller: `key:${id}` })
  expect(await authorized({ environment: 'test', credential }, 'agents:read|agents:run')).toMatchObject({
    code: 'forbidden',
    reason: 'right_missing',
  })
  expect(await kit.sql(`select decision from baton.audit where actor = $1`, [`key:${id}`])).toEqual([{ decision: 'refused' }])
})

test('refusals of one caller are told once a minute, with how many there were: a flood of them does not fill the audit', async () => {
  const { id, credential } = await key({ scopes: ['agents:read'] })
  const told = () =>
    kit.sql(
      `select data ->> 'needed' as needed, (data ->> 'count')::int as count from baton.audit where action = 'request.authorize' and actor = $1 order by id`,
      [`key:${id}`],
    )
  const ask = (needed: string) => authorized({ environment: 'test', credential }, needed)
  for (let n = 0; n < 5; n++) expect(await ask('admin')).toMatchObject({ code: 'forbidden', needed: 'admin' })
  expect(await told()).toEqual([{ needed: 'admin', count: 1 }])
  await ask('agents:run')
  await kit.advance(61_000)
  await ask('admin')
  await ask('admin')
  expect((await told()).map(({ needed, count }) => [needed, count])).toEqual([
    ['admin', 1],
    ['agents:run', 1],
    ['admin', 5],
  ])
})

test('a key is touched without waiting for a request that is touching it', async () => {
  const { id, credential } = await key()
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query('select 1 from baton.api_keys where id = $1 for update', [id])
    // Whoever waited would wait for the rollback below, and be told after some seconds that the database is away.
    expect((await kit.store.listAgents({ ...authority, credential }, { limit: 1, after: null })).length).toBeLessThanOrEqual(1)
  } finally {
    await client.query('rollback')
    await client.end()
  }
})

test('a lost reply: the key that was made is found again under its id, and only with its hash', async () => {
  const stored = {
    id: ids.make('key'),
    hash: 'a'.repeat(64),
    prefix: 'bt_aaaa',
    name: 'x',
    scopes: ['agents:read'] as const,
    expiresAt: null,
  }
  const first = await kit.store.createKey(authority, stored)
  expect(await kit.store.createKey(authority, stored)).toEqual(first)
  expect(await kit.sql('select count(*)::integer as n from baton.api_keys where hash = $1', [stored.hash])).toEqual([{ n: 1 }])
  const { id } = await key()
  const next = { id: ids.make('key'), hash: 'b'.repeat(64), prefix: 'bt_bbbb', overlapMs: 0 }
  const rotated = await kit.store.rotateKey(authority, id, next)
  expect(await kit.store.rotateKey(authority, id, next)).toEqual(rotated)
})

test('a key that ends soon is rotated into one of the same length of life, and ends no later for it', async () => {
  const [row] = await kit.sql<{ at: Date }>(`select baton.clock() + interval '1 hour' as at`)
  const { id } = await key()
  await kit.sql('update baton.api_keys set expires_at = $2, created_at = $2::timestamptz - $3::interval where id = $1', [
    id,
    row?.at,
    '10 hours',
  ])
  const next = { id: ids.make('key'), hash: 'c'.repeat(64), prefix: 'bt_cccc', overlapMs: 24 * 3_600_000 }
  const answer = ok(await kit.store.rotateKey(authority, id, next))
  expect(new Date(answer.old.expiresAt ?? '')).toEqual(row?.at)
  expect(Date.parse(answer.key.expiresAt ?? '') - (row?.at.getTime() ?? 0)).toBeGreaterThan(8.9 * 3_600_000)
})

test('the bound of keys holds against a request whose transaction is not over', async () => {
  await kit.store.ensureTenant({ id: 'bounded', environment: 'test', secret: 'sealed' })
  const { credential } = await key({ tenant: 'bounded' })
  await kit.sql(`insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by)
    select 'key_b' || n, 'bounded', 'test', encode(sha256(('b' || n)::bytea), 'hex'), 'bt_', 'x', '{admin}', 'test' from generate_series(1, 98) n`)
  const stored = (): object => ({
    id: ids.make('key'),
    hash: ids.uuid().replaceAll('-', '').repeat(2),
    prefix: 'bt_',
    name: 'x',
    scopes: ['agents:read'],
  })
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    const { rows } = await client.query<{ answer: { ok: boolean } }>('select public.baton_create_key($1) as answer', [
      JSON.stringify({ ...authority, ...stored(), credential }),
    ])
    expect(rows[0]?.answer.ok).toBe(true)
    const second = kit.rpc('baton_create_key', { ...authority, ...stored(), credential })
    const waits = poll(
      async () =>
        (await kit.sql(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)).length > 0,
      {
        everyMs: 20,
        forMs: 60_000,
      },
    )
    await Promise.race([waits, second])
    await client.query('commit')
    expect(await second).toMatchObject({ ok: false, code: 'too_many_keys' })
  } finally {
    await client.end()
  }
})

test('a list that may not be read is an error with its code, not an empty page', async () => {
  const { credential } = await key({ scopes: ['agents:run'] })
  await expect(kit.store.listAgents({ ...authority, credential }, { limit: 1, after: null })).rejects.toMatchObject({ code: 'forbidden' })
})

test('a refused first message of a user leaves no agent behind', async () => {
  const { public: _public, ...settings } = openRequest('x').settings ?? {}
  const request = { ...openRequest('closed', { credential: asUser(alice) }), settings: settings as never }
  expect(await kit.store.open(request)).toMatchObject({ ok: false, code: 'forbidden' })
  expect(await kit.sql(`select 1 from baton.agents where id = 'closed'`)).toEqual([])
})

test('two users who name their first agent alike at the same time: one has it, to the other it is not found', async () => {
  for (let n = 0; n < 5; n++) {
    const users = [ids.uuid(), ids.uuid(), ids.uuid(), ids.uuid()]
    const answers = await Promise.all(users.map((user) => kit.store.open(openRequest(`raced-${n}`, { credential: asUser(user) }))))
    expect(answers.filter((answer) => answer.ok)).toHaveLength(1)
    for (const answer of answers) if (!answer.ok) expect(answer).toEqual({ ok: false, code: 'agent_not_found' })
  }
})

test("a user's rows are found by indexes, directly and by the lists", async () => {
  await hold(kit, 'alices', { credential: asUser(alice) })
  await kit.sql(`insert into baton.agents (agent_uid, tenant_id, environment, id, owner_id, template, settings)
    select gen_random_uuid(), 'one', 'test', 'o' || g, gen_random_uuid(), 'plain', '{}' from generate_series(1, 3000) g`)
  await kit.sql(`insert into baton.messages (agent_uid, seq, tenant_id, owner_id, role, content, bytes, est_tokens)
    select a.agent_uid, g, 'one', a.owner_id, 'user', '"x"', 3, 1 from baton.agents a, generate_series(1, 10) g where a.id like 'o%'`)
  await kit.sql('analyze')
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query(`select set_config('request.jwt.claim.sub', $1, true)`, [alice])
    await client.query('set local role authenticated')
    for (const view of ['agents', 'messages']) {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain select * from public.baton_${view}`)
      expect(rows.map((row) => row['QUERY PLAN']).join('\n')).not.toMatch(/Seq Scan/)
    }
  } finally {
    await client.query('rollback')
    await client.end()
  }
})

test('the bootstrap makes a key where no admin key opens any more; keys of another environment are none of this one', async () => {
  const tenant = 'locked-out'
  await kit.store.ensureTenant({ id: tenant, environment: 'apart', secret: 'sealed' })
  const boot = () => {
    const made = { id: ids.make('key'), hash: ids.uuid().replaceAll('-', '').repeat(2), prefix: 'bt_', name: 'x' }
    return kit.store.bootstrap({ tenant, environment: 'apart', secret: 'sealed', key: made, anew: false, newSecret: false })
  }
  expect([await kit.store.hasKeys('apart'), await kit.store.hasKeys('test')]).toEqual([false, true])
  expect([ok(await boot()).keyMade, ok(await boot()).keyMade]).toEqual([true, false])
  await kit.sql('update baton.api_keys set expires_at = baton.clock() where tenant_id = $1', [tenant])
  expect(ok(await boot())).toMatchObject({ keyMade: true, adminKeys: 0 })
})

test('a bootstrap whose reply is lost shows the key and the secret that it has made, for nobody can show them later', async () => {
  let losses = 1
  const store = createStore(async (name, request) => {
    const answer = await kit.rpc(name, request)
    if (losses-- > 0) throw new BatonError('database_unavailable', 'The reply was lost.')
    return answer
  })
  const key = { id: ids.make('key'), hash: 'e'.repeat(64), prefix: 'bt_', name: 'x' }
  const boot = { tenant: 'lost-reply', environment: 'apart', secret: 'sealed once', key, anew: false, newSecret: false }
  expect(await store.bootstrap(boot)).toEqual({ ok: true, tenantMade: false, secretMade: true, keyMade: true, adminKeys: 0 })
  const another = { ...boot, secret: 'sealed twice', key: { ...key, id: ids.make('key'), hash: 'f'.repeat(64) } }
  expect(await store.bootstrap(another)).toEqual({ ok: true, tenantMade: false, secretMade: false, keyMade: false, adminKeys: 1 })
  losses = 1
  const both = { ...another, anew: true, newSecret: true }
  expect(await store.bootstrap(both)).toEqual({ ok: true, tenantMade: false, secretMade: true, keyMade: true, adminKeys: 1 })
  expect(ok(await kit.store.getTenant({ tenant: boot.tenant, environment: 'apart' })).secret).toBe('sealed twice')
  const rotations = `select actor from baton.audit where tenant_id = 'lost-reply' and action = 'webhook.rotate'`
  expect(await kit.sql(rotations)).toEqual([{ actor: 'bootstrap' }])
  expect(await kit.sql(`select count(*)::integer as n from baton.api_keys where tenant_id = 'lost-reply'`)).toEqual([{ n: 2 }])
})

test('a kill of a key ends the runs of its messages that wait, and no others; pages of switches repeat none', async () => {
  const { id, credential } = await key()
  const runs = []
  for (const over of [{ credential }, {}]) {
    const held = await hold(kit, `by-key-${runs.length}`, over)
    await commit(kit, held, { progress: false }, { wait: { kind: 'retry', ms: 3_600_000 } })
    runs.push(held.runId)
  }
  ok(await kit.store.setSwitch(authority, { scope: `key:${id}`, mode: 'kill', reason: 'leaked' }))
  const states = await Promise.all(runs.map(async (run) => ok(await kit.store.getRun(authority, run)).run.state))
  expect(states).toEqual(['killed', 'waiting'])
  ok(await kit.store.setSwitch(authority, { scope: 'agent:second', mode: 'hold', reason: 'x' }))
  const page = async (after: string | null) =>
    ok(await kit.store.listSwitches(authority, { limit: 1, after })).data.map(({ scope }) => scope)
  expect([await page(null), await page('agent:second'), await page(`key:${id}`)]).toEqual([['agent:second'], [`key:${id}`], []])
  for (const scope of ['agent:second', `key:${id}`]) ok(await kit.store.liftSwitch(authority, { scope, reason: null }))
})

test('a bulk retry of a user finds their own runs alone', async () => {
  const end = { state: 'failed', stopReason: 'max_steps', output: null, error: null } as const
  const bob = ids.uuid()
  for (const [agent, id] of [
    ['bulk-alice', alice],
    ['bulk-bob', bob],
  ] as const)
    await commit(kit, await hold(kit, agent, { credential: asUser(id) }), {}, { end })
  const request = { filter: {}, limit: 10, newRunIds: [ids.make('run'), ids.make('run')], idempotency: null }
  expect(ok(await kit.store.retryCandidates({ ...authority, credential: asUser(bob) }, request)).data).toHaveLength(1)
})
