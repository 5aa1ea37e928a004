import { afterAll, beforeAll, expect, test } from 'vitest'
import { deleteBudget, putBudget } from '#lib/api/budgets'
import type { BudgetRefusal } from '#lib/core/budget'
import { defineAgent } from '#lib/core/define'
import { testServices } from '#lib/http/services.fixture'
import { startExecutor } from '#tests/store/engine-kit'
import { authority, beside, commitOf, hold, ok, openRequest, startStore, type Held, type StoreKit } from '#tests/store/kit'

/* Runs that go to sleep for want of room while somebody makes room. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const month = { scope: 'tenant', period: 'month' } as const
const dayMs = 86_400_000

async function freshTenant(name: string): Promise<typeof authority> {
  await kit.store.ensureTenant({ id: name, environment: 'test', secret: 'sealed' })
  return { ...authority, credential: { operator: { tenant: name, name: 'tester' } } }
}

/** Whether the run sleeps for its budget, as the database has it. */
async function sleeps(agentUid: string): Promise<boolean> {
  const found = await kit.sql(`select 1 from baton.runs where agent_uid = $1 and wait_kind = 'budget' and due_at > baton.clock()`, [
    agentUid,
  ])
  return found.length > 0
}

const refusal: BudgetRefusal = {
  ...month,
  reason: 'micros',
  hard: false,
  limitMicros: 1,
  spentMicros: 0,
  reservedMicros: 0,
  estimateMicros: 5,
  resetsAt: null,
  resetsInMs: 20 * dayMs,
}
const toSleep = (held: Held, by = refusal) => commitOf(held, { progress: false }, { wait: { kind: 'budget', ms: dayMs, refusal: by } })

test('invariant 7: a limit that is raised between the refusal and the wait that follows it is looked at once more', async () => {
  const of = await freshTenant('raised')
  const plain = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.' })
  const executor = startExecutor(kit, plain, [{ text: 'bye' }], {
    store: {
      async renew(request) {
        const answer = await kit.store.renew(request)
        if (answer.ok && answer.reserved === 'refused') ok(await kit.store.putBudget(of, month, { limitMicros: 100_000_000 }))
        return answer
      },
    },
  })
  const { versions, settings } = executor.services.templates
  const { agentUid } = ok(await kit.store.open(openRequest('raised', { ...of, versions, settings: settings('plain') })))
  ok(await kit.store.putBudget(of, month, { limitMicros: 1 }))
  expect(await executor.goOn(agentUid)).toMatchObject({ kind: 'waiting' })
  expect(await sleeps(agentUid)).toBe(false)
  expect(await executor.goOn(agentUid)).toMatchObject({ kind: 'ended', state: 'completed' })
})

test('invariant 7: a run sleeps while its limit is the one that refused it, and not beside a change that is under way', async () => {
  const of = await freshTenant('under-way')
  ok(await kit.store.putBudget(of, month, { limitMicros: null }))
  const [first, second] = [await hold(kit, 'one', of), await hold(kit, 'two', of)]
  ok(await kit.store.putBudget(of, month, { limitMicros: 1 }))
  ok(await kit.store.commit(toSleep(first)))
  expect(await sleeps(first.agentUid)).toBe(true)
  const raised = { ...of, ...month, limitMicros: 100_000_000 }
  expect(await beside(kit, 'put_budget', raised, () => kit.store.commit(toSleep(second)))).toMatchObject({ ok: true })
  expect(await sleeps(first.agentUid)).toBe(false)
  expect(await sleeps(second.agentUid)).toBe(false)
})

test.each([
  ['tokens', 'limitTokens'],
  ['calls', 'limitCalls'],
] as const)('invariant 7: a run sleeps for a limit of %s while that limit is the same', async (reason, limit) => {
  const of = await freshTenant(`of-${reason}`)
  const [first, second] = [await hold(kit, 'one', of), await hold(kit, 'two', of)]
  ok(await kit.store.putBudget(of, month, { [limit]: 100 }))
  const refused = (most: number): BudgetRefusal => ({ ...refusal, reason, limitMicros: null, [limit]: most })
  ok(await kit.store.commit(toSleep(first, refused(100))))
  ok(await kit.store.commit(toSleep(second, refused(1))))
  expect([await sleeps(first.agentUid), await sleeps(second.agentUid)]).toEqual([true, false])
})

test('invariant 7: whoever changes a limit is told of a run that went to sleep beside it, and wakes it', async () => {
  const of = await freshTenant('beside')
  ok(await kit.store.putBudget(of, month, { limitMicros: null }))
  const held = await hold(kit, 'beside', of)
  ok(await kit.store.putBudget(of, month, { limitMicros: 1 }))
  const raise = () => kit.store.putBudget(of, month, { limitMicros: 100_000_000 })
  expect(await beside(kit, 'commit', toSleep(held), raise)).toMatchObject({ ok: true, asleep: true })
  expect(await sleeps(held.agentUid)).toBe(true)
  expect(await kit.store.wakeBudgets(of, { scope: 'tenant', after: null })).toMatchObject({
    ok: true,
    outbox: [{ kind: 'continue' }],
    next: null,
  })
  expect(await sleeps(held.agentUid)).toBe(false)
})

test('invariant 7: a changed limit wakes all runs that wait for room, however many', async () => {
  const of = await freshTenant('crowd')
  const { agentUid } = ok(await kit.store.open(openRequest('crowd-0', of)))
  await kit.sql(
    `insert into baton.agents (agent_uid, tenant_id, environment, id, template, settings, state, active_run)
    select gen_random_uuid(), 'crowd', 'test', 'crowd-' || n, a.template, a.settings, 'working', 'run_crowd' || n
    from baton.agents a cross join generate_series(1, 1050) n where a.agent_uid = $1`,
    [agentUid],
  )
  await kit.sql(
    `insert into baton.runs (run_id, agent_uid, tenant_id, environment, state, wait_kind, due_at, limits)
    select a.active_run, a.agent_uid, 'crowd', 'test', 'waiting', 'budget', baton.clock() + interval '20 days', '{}' from baton.agents a where a.id like 'crowd-_%' and a.agent_uid <> $1`,
    [agentUid],
  )
  const asleep = () => kit.sql(`select 1 from baton.runs where tenant_id = 'crowd' and wait_kind = 'budget' and due_at > baton.clock()`)
  expect(await asleep()).toHaveLength(1_050)
  const woken = new Set<string>()
  const beside: Promise<unknown>[] = []
  const services = { ...testServices(), store: kit.store, dispatch: (rows: { id: string }[]) => rows.forEach(({ id }) => woken.add(id)) }
  const url = new URL('http://localhost/api/budgets/tenant')
  const incoming = {
    request: new Request(url, { method: 'PUT' }),
    url,
    params: { scope: 'tenant' },
    services,
    caller: { credential: of.credential, requestId: null },
    background: (work: Promise<unknown>) => void beside.push(work),
  }
  const body = { value: { limitMicros: 1_000_000_000 }, text: null }
  expect((await putBudget.respond({ ...incoming, body } as never)).status).toBe(200)
  await Promise.all(beside)
  expect(await asleep()).toEqual([])
  expect(woken.size).toBeGreaterThanOrEqual(1_050)
  // A limit that is taken away changes as much.
  await kit.sql(`update baton.runs set due_at = baton.clock() + interval '20 days' where tenant_id = 'crowd' and wait_kind = 'budget'`)
  expect((await deleteBudget.respond({ ...incoming, body: { value: undefined, text: null } } as never)).status).toBe(204)
  await Promise.all(beside)
  expect(await asleep()).toEqual([])
})
