import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import {
  answered,
  authority,
  claimRequest,
  commit,
  commitOf,
  completed,
  execution,
  hold,
  openRequest,
  ok,
  startStore,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
  await kit.store.ensureTenant({ id: 'two', environment: 'test', secret: 'sealed' })
})
afterAll(() => kit.close())

const two: Authority = { ...authority, credential: { operator: { tenant: 'two', name: 'tester' } } }
const elsewhere: Authority = { ...authority, environment: 'elsewhere', credential: { operator: { tenant: 'other', name: 'tester' } } }
const twenty = Array.from({ length: 20 }, (_one, n) => n)
const set = (scope: string, mode: 'kill' | 'hold' = 'kill', by = authority) =>
  kit.store.setSwitch(by, { scope, mode, reason: 'race' }).then(ok)
const lift = (scope: string, by = authority) => kit.store.liftSwitch(by, { scope, reason: null }).then(ok)
const workOff = () => kit.store.applySwitchWork({ environment: 'test', limit: 200 })
const states = async (prefix: string): Promise<Record<string, number>> => {
  const rows = await kit.sql<{ state: string; n: number }>(
    `select r.state, count(*)::int as n from baton.runs r join baton.agents a using (agent_uid) where a.id like $1 group by 1`,
    [`${prefix}-%`],
  )
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
}
/** Half of the calls are sent before the act and half after it, all without waiting: some come first, some too late. */
async function against<Answer>(calls: readonly (() => Promise<Answer>)[], act: () => Promise<unknown>): Promise<Answer[]> {
  const half = calls.length / 2
  const early = calls.slice(0, half).map((call) => call())
  const acted = act()
  const late = calls.slice(half).map((call) => call())
  await acted
  return Promise.all([...early, ...late])
}
/** Each run has at most one terminal event, an ended one exactly one. */
const ends = async (prefix: string): Promise<void> => {
  const odd = await kit.sql(
    `select r.run_id from baton.runs r join baton.agents a using (agent_uid) left join baton.events e on e.run_id = r.run_id and e.type = 'done'
     where a.id like $1 group by r.run_id having count(e.seq) <> (max(r.ended_at) is not null)::int`,
    [`${prefix}-%`],
  )
  expect(odd).toEqual([])
}
/** What an executor does that is told to stop. */
const killedEnd = (held: Held) =>
  commit(kit, held, {}, { end: { state: 'killed', stopReason: 'killed', output: null, error: { code: 'killed', message: 'killed' } } })

/** A transaction that stays open: what it did is seen by nobody until it is let go. */
async function slowly(call: string, argument: object): Promise<{ answer: Record<string, unknown>; done: () => Promise<void> }> {
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  await client.query('begin')
  const { rows } = await client.query<{ answer: Record<string, unknown> }>(`select public.baton_${call}($1::jsonb) as answer`, [
    JSON.stringify(argument),
  ])
  return { answer: rows[0]?.answer ?? {}, done: () => client.query('commit').then(() => client.end()) }
}

describe('invariant 10: twenty at once against a kill', () => {
  test('of opens: what was accepted is killed, what came later is refused', async () => {
    const opens = twenty.map((n) => () => kit.store.open(openRequest(`open-${n}`, n % 2 === 0 ? {} : { execute: execution() })))
    const answers = await against(opens, () => set('tenant'))
    for (const answer of answers) {
      if (!answer.ok) expect(answer).toMatchObject({ code: 'killed', scope: 'tenant' })
      else if (answer.opened !== undefined) {
        const { sliceId, epoch } = answer.opened.lease
        const renewed = await kit.store.renew({ agentUid: answer.agentUid, sliceId, epoch, leaseMs: 30_000 })
        expect(renewed).toMatchObject({ flags: { stop: 'killed' } })
        await killedEnd({ agentUid: answer.agentUid, runId: answer.run.id, sliceId, epoch, answer })
      }
    }
    await workOff()
    expect(Object.keys(await states('open')).filter((state) => state !== 'killed')).toEqual([])
    await ends('open')
    await lift('tenant')
  })

  test('of commits: a run has completed or it ends killed, never both', async () => {
    const held = await Promise.all(twenty.map((n) => hold(kit, `commit-${n}`)))
    const commits = held.map((one) => () => commit(kit, one, answered(), completed))
    const answers = await against(commits, () => set('tenant'))
    for (const [n, answer] of answers.entries()) {
      if (answer.allowed) expect(answer).toMatchObject({ state: 'completed', released: true })
      else {
        expect(answer).toMatchObject({ flags: { stop: 'killed' }, released: false })
        expect(await killedEnd(held[n] as Held)).toMatchObject({ state: 'killed', released: true })
      }
    }
    await ends('commit')
    await lift('tenant')
  })

  test('of claims: nobody works on after it', async () => {
    const opened = await Promise.all(twenty.map(async (n) => ok(await kit.store.open(openRequest(`claim-${n}`)))))
    const requests = opened.map((one) => claimRequest(one.agentUid))
    const claims = requests.map((request) => () => kit.store.claim(request))
    const answers = await against(claims, () => set('tenant'))
    for (const [n, answer] of answers.entries()) {
      if (!answer.ok) expect(['killed', 'nothing_due']).toContain(answer.code)
      else {
        const { agentUid, sliceId } = requests[n] as (typeof requests)[number]
        const { epoch } = answer.opened.lease
        expect(await kit.store.renew({ agentUid, sliceId, epoch, leaseMs: 30_000 })).toMatchObject({ flags: { stop: 'killed' } })
        await killedEnd({ agentUid, runId: answer.opened.run.id, sliceId, epoch, answer })
      }
    }
    await workOff()
    expect(await states('claim')).toEqual({ killed: 20 })
    await ends('claim')
    await lift('tenant')
  })

  test('of the same kill: one sets it, all say the same', async () => {
    const answers = await Promise.all(twenty.map(() => set('agent:same')))
    expect(answers.filter((answer) => answer.changed)).toHaveLength(1)
    expect(new Set(answers.map((answer) => answer.switch.createdAt)).size).toBe(1)
    const lifts = await Promise.all(twenty.map(() => kit.store.liftSwitch(authority, { scope: 'agent:same', reason: null })))
    expect(lifts.filter((answer) => answer.ok)).toHaveLength(1)
  })

  test('of commits against a hold and its lift: no run stays behind', async () => {
    const held = await Promise.all(twenty.map((n) => hold(kit, `lift-${n}`)))
    await set('tenant', 'hold')
    await against(
      held.map((one) => () => commit(kit, one, answered())),
      () => lift('tenant'),
    )
    await workOff()
    const stuck = await kit.sql(`select 1 from baton.runs r join baton.agents a using (agent_uid)
      where a.id like 'lift-%' and r.ended_at is null and r.due_at is null`)
    expect(stuck).toEqual([])
  })
})

describe('a transaction that had not seen the switch when it was set', () => {
  test('and lets go of its run after the kill: the sweeper ends the run, and the work of the switch is done a minute later', async () => {
    const held = await hold(kit, 'late-1')
    const slow = await slowly('commit', commitOf(held, { progress: false }, { wait: { kind: 'retry', ms: 3_600_000 } }))
    expect(slow.answer).toMatchObject({ ok: true, state: 'waiting' })
    expect(await set('agent:late-1')).toMatchObject({ ended: 0 })
    await slow.done()
    expect(await states('late')).toEqual({ waiting: 1 })
    await kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 10_000, limit: 50 })
    expect(await states('late')).toEqual({ killed: 1 })
    expect(await kit.sql(`select 1 from baton.switch_work where scope = 'agent:late-1'`)).toHaveLength(1)
    await kit.advance(61_000)
    for (let round = 0; round < 2; round++) await workOff()
    expect(await kit.sql('select 1 from baton.switch_work')).toEqual([])
    await lift('agent:late-1')
  })

  test('and holds its run after the lift: the sweeper lets it go on', async () => {
    const held = await hold(kit, 'unheld-1')
    await set('agent:unheld-1', 'hold')
    const slow = await slowly('commit', commitOf(held, answered(), {}))
    expect(await lift('agent:unheld-1')).toMatchObject({ resumed: 0 })
    await slow.done()
    const sweep = await kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 10_000, limit: 50 })
    expect(sweep.outbox).toContainEqual(
      expect.objectContaining({ kind: 'continue', data: expect.objectContaining({ agentUid: held.agentUid }) }),
    )
    expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ ok: true })
  })
})

test('A73: a kill never touches another tenant or environment; a global one is the operator’s and stays in its environment', async () => {
  const held = { mine: await hold(kit, 'x'), theirs: await hold(kit, 'x', two), far: await hold(kit, 'x', elsewhere) }
  await set('tenant')
  await set('agent:x')
  await set(`run:${held.theirs.runId}`)
  expect(await commit(kit, held.mine, answered())).toMatchObject({ flags: { stop: 'killed' } })
  expect(await commit(kit, held.theirs, answered())).toMatchObject({ flags: { stop: null }, allowed: true })
  expect(await commit(kit, held.far, answered())).toMatchObject({ flags: { stop: null }, allowed: true })
  expect(ok(await kit.store.listSwitches(two, { limit: 10, after: null })).data).toEqual([])
  expect(await kit.store.liftSwitch(two, { scope: 'tenant', reason: null })).toMatchObject({ code: 'switch_not_found' })
  await set('global', 'kill', two)
  expect(await commit(kit, held.theirs, answered())).toMatchObject({ flags: { stop: 'killed' } })
  expect(await commit(kit, held.far, answered(), completed)).toMatchObject({ state: 'completed' })
  expect(ok(await kit.store.listSwitches(authority, { limit: 10, after: null })).data.map((one) => one.scope)).toContain('global')
  for (const scope of ['tenant', 'agent:x', `run:${held.theirs.runId}`]) await lift(scope)
  await lift('global', two)
})

test('a kill of 250 waiting agents: the first 200 in its transaction, the rest in batches', async () => {
  const opened = await Promise.all(Array.from({ length: 250 }, (_one, n) => kit.store.open(openRequest(`batch-${n}`)).then(ok)))
  expect(opened).toHaveLength(250)
  expect(await set('tenant')).toMatchObject({ ended: 200, more: true })
  expect(await workOff()).toMatchObject({ ended: 50, more: false })
  expect(await states('batch')).toEqual({ killed: 250 })
  await lift('tenant')
})

test('invariant 10: a kill that was lifted before its executor looked stays one, also where somebody cancels the run then', async () => {
  const held = await hold(kit, 'kill-sticks')
  await set('agent:kill-sticks')
  await lift('agent:kill-sticks')
  ok(await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null))
  expect(await commit(kit, held, answered())).toMatchObject({ flags: { stop: 'killed' } })
  expect(await killedEnd(held)).toMatchObject({ state: 'killed' })
})

test('invariant 10: an agent that was locked when the last round of a kill came by is ended in the next one', async () => {
  const opened = ok(await kit.store.open(openRequest('passed-over')))
  // As a kill that was set two minutes ago and has been through all agents but this one.
  await kit.sql(`insert into baton.switches (environment, tenant_id, scope, mode, reason, actor)
    values ('test', 'one', 'agent:passed-over', 'kill', 'a test', 'x')`)
  await kit.sql(`insert into baton.switch_work (environment, tenant_id, scope, kind, created_at)
    values ('test', 'one', 'agent:passed-over', 'kill', baton.clock() - interval '2 minutes')`)
  const client = new pg.Client({ connectionString: kit.databaseUrl })
  await client.connect()
  try {
    await client.query('begin')
    await client.query('select 1 from baton.agents where agent_uid = $1 for update', [opened.agentUid])
    expect(await workOff()).toMatchObject({ ended: 0 })
    await client.query('commit')
  } finally {
    await client.end()
  }
  await workOff()
  expect(ok(await kit.store.getRun(authority, opened.run.id)).run.state).toBe('killed')
  await lift('agent:passed-over')
})
