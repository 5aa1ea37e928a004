import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AgentUid } from '#lib/core/ids'
import type { Authority } from '#lib/core/store'
import { askedCall } from '#tests/approvals/kit'
import { restBetweenStatements } from '#tests/rests'
import {
  answered,
  authority,
  claimRequest,
  commit,
  completed,
  execution,
  hold,
  ids,
  message,
  ok,
  settings,
  startStore,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

/** Everything at once on one tenant for so long; BATON_STORM_SECONDS=30 is the long run. */
const stormMs = Number(process.env['BATON_STORM_SECONDS'] ?? '6') * 1_000

let kit: StoreKit
let callers: Authority[]
beforeAll(async () => {
  kit = await startStore()
  callers = [await keyed('k1'), await keyed('k2'), authority]
})
afterAll(() => kit.close())

const pick = <Value>(values: readonly Value[]): Value => values[Math.floor(Math.random() * values.length)] as Value
const deadlocks = async (): Promise<number> =>
  Number((await kit.sql<{ n: string }>('select deadlocks as n from pg_stat_database where datname = current_database()'))[0]?.n)

async function keyed(name: string): Promise<Authority> {
  const hash = createHash('sha256').update(name).digest('hex')
  ok(await kit.store.createKey(authority, { id: name, hash, prefix: 'bt_', name, scopes: ['admin'], expiresAt: null } as never))
  return { ...authority, credential: { keyHash: hash } }
}

const agents = Array.from({ length: 10 }, (_, index) => `storm-${index}`)

/** A turn with tools that have prices and limits; one in four dies in the middle, with its money set aside. */
async function turn(of: Authority): Promise<void> {
  const agent = pick(agents)
  const execute = { ...execution(1_000), leaseMs: 4_000 }
  const held = await hold(kit, agent, { ...of, execute, onBusy: 'reject' })
  if (Math.random() < 0.25) return
  const calls = ['a', 'b', 'c'].map((name, index) => toolCall(index, { name, costMicros: name === 'c' ? 5 : 0, effect: 'once' }))
  if (Math.random() < 0.5) calls.reverse()
  const asked = Math.random() < 0.3 ? [askedCall(9)] : []
  const settle = [
    { id: execute.reserve?.id ?? ids.make('res'), costMicros: 900, usage: { inputTokens: 1, outputTokens: 1 } as never, estimated: false },
  ]
  const all = [...calls, ...asked]
  const content = all.map((call) => ({ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }))
  await commit(
    kit,
    held,
    { settle, messages: [message('assistant', content)], calls: all, count: { step: 1 } },
    { start: calls.map((call) => call.callId) },
  )
  const ended = calls.map((call) => ({ ...call, state: 'completed' as const, output: { type: 'text' as const, value: 'x' } }))
  if (asked.length > 0) return void (await commit(kit, held, { calls: ended }, { pause: true, waiting: asked.map((call) => call.callId) }))
  const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 1_000, tokens: 10 }
  const answer = await commit(kit, held, { calls: ended }, { reserve })
  const last = answer.reserved === 'granted' ? { settle: [{ ...settle[0], id: reserve.id } as never] } : {}
  await commit(kit, held, { ...answered(), ...last }, completed)
}

test.each([
  ['as they are', 0],
  ['that rest between their statements', 0.01],
])(
  'budgets, switches, decisions, deletions, pruning, sweeps and steps of one tenant at once never deadlock, in functions %s',
  { timeout: 120_000 },
  async (_, chance) => {
    if (chance > 0) await restBetweenStatements(kit, { chance, mostMs: 50 })
    // Counters of days are made anew whenever the clock jumps, by all who are there at once.
    for (const scope of ['key:*', 'tenant', 'agent:*'])
      ok(await kit.store.putBudget(authority, { scope, period: 'day' }, { limitMicros: 1_000_000_000 }))
    for (const scope of ['key:*', 'tool:a', 'tool:b', 'tool:c', 'agent:*', 'tenant'])
      ok(await kit.store.putBudget(authority, { scope, period: 'lifetime' }, { limitMicros: 1_000_000_000, limitCalls: 1_000_000 }))
    const before = await deadlocks()
    let done = 0
    const until = Date.now() + stormMs
    // A starved machine does as much as another, in more time.
    const enough = (): boolean => (Date.now() >= until && done > 100) || Date.now() >= until + 60_000
    const refused: string[] = []
    const forever = (work: () => Promise<unknown>): Promise<void> =>
      (async () => {
        while (!enough()) {
          try {
            await work()
            done++
          } catch (error) {
            // Refusals are part of it: agents are busy, killed, deleted.
            const text = String(error instanceof Error ? (error.cause ?? error.message) : error)
            refused.push(/"code":"(\w+)"/.exec(text)?.[1] ?? text.slice(0, 200))
          }
        }
      })()
    const kills = async (): Promise<void> => {
      const scope = pick(['key:k1', 'key:k2', 'tenant', `agent:${pick(agents)}`])
      await kit.store.setSwitch(authority, { scope, mode: pick(['kill', 'hold']), reason: 'storm' })
      await kit.store.liftSwitch(authority, { scope, reason: null })
    }
    const budgets = async (): Promise<void> => {
      const scope = pick(['key:*', 'tool:a', 'tool:b', 'tenant', 'agent:*', 'key:k1'])
      ok(await kit.store.putBudget(authority, { scope, period: 'lifetime' }, { limitMicros: 1_000_000_000 + done, limitCalls: 1_000_000 }))
      if (scope === 'key:k1') await kit.store.deleteBudget(authority, { scope })
    }
    const decides = async (): Promise<void> => {
      const { data } = ok(await kit.store.listApprovals(authority, { limit: 20, after: null, state: 'pending' }))
      const approval = data.length === 0 ? undefined : pick(data)
      if (approval === undefined) return void (await new Promise((resolve) => setTimeout(resolve, 20)))
      await kit.store.decide(authority, { approvalId: approval.id, decision: pick(['allow', 'deny']) })
    }
    const claims = async (): Promise<void> => {
      const due = await kit.sql<{ uid: AgentUid; id: string }>(
        `select r.agent_uid as uid, r.run_id as id from baton.runs r where r.due_at is not null order by random() limit 1`,
      )
      const uid = due[0]?.uid
      if (uid === undefined) return
      const request = claimRequest(uid, { leaseMs: 4_000 })
      const answer = await kit.store.claim(request)
      if (!answer.ok) return
      const slice = { agentUid: uid, runId: answer.opened.run.id, sliceId: request.sliceId, epoch: answer.opened.lease.epoch, answer }
      await commit(kit, slice, answered(), completed)
    }
    const sent = async (): Promise<void> => {
      const rows = await kit.sql<{ id: string }>('select id from baton.outbox where sent_at is null order by random() limit 40')
      await kit.store.outboxSent(rows.map((row) => row.id))
    }
    // A name with a past and a total: its counter is made from the ledger.
    const anew = async (): Promise<void> => {
      const name = pick(agents)
      await kit.store.deleteAgent(authority, name)
      if (Math.random() < 0.5) return
      const agent = { name, uid: ids.uuid(), mustExist: false, template: 'plain', overrides: {} }
      const narrowing = { limits: { maxCostMicros: 1_000_000_000 } }
      ok(await kit.store.createAgent({ ...authority, versions: { plain: 'v1' }, settings, agent: { ...agent, narrowing } }))
    }
    const sweep = (): Promise<unknown> => kit.store.sweep({ environment: 'test', everyMs: 0, resendMs: 0, limit: 200 })
    // Dead executors, and events old enough to go: the clock runs. A day ends between bookings here: moving the
    // clock in the middle of one changes when it began (baton.began), which a real midnight does not.
    const time = async (): Promise<void> => {
      if (Math.random() < 0.6) await kit.advance(pick([1_500, 5_000]))
      else
        await kit.sql(`do $$ begin lock table baton.reservations in share row exclusive mode;
          update baton.local_clock set offset_ms = offset_ms + 86400000; end $$`)
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    await Promise.all([
      ...callers.flatMap((of) => [1, 2, 3].map(() => forever(() => turn(of)))),
      forever(kills),
      forever(kills),
      forever(budgets),
      forever(budgets),
      forever(decides),
      forever(claims),
      forever(claims),
      forever(sent),
      forever(sent),
      forever(sweep),
      forever(() => kit.store.applySwitchWork({ environment: 'test', limit: 200 })),
      forever(() => kit.store.prune({ environment: 'test', limit: 1_000 })),
      forever(anew),
      forever(time),
    ])
    const counts = Object.entries(Object.groupBy(refused, (text) => text)).map(([text, all]) => `${all?.length} ${text}`)
    console.log(`${done} acts, ${refused.length} refused`, counts.toSorted().slice(0, 12))
    expect(done).toBeGreaterThan(100)
    // pg_stat is written with a delay of up to a second.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect((await deadlocks()) - before).toBe(0)
    const faults =
      await kit.sql(`select c.key, c.reserved_micros, c.spent_micros, l.reserved, l.spent from baton.budget_totals c cross join lateral (
      select coalesce(sum(v.micros) filter (where v.state = 'reserved'), 0) as reserved, coalesce(sum(v.cost_micros) filter (where v.state <> 'reserved'), 0) as spent
      from baton.reservations v where c.key = any (v.charges)) l
    where c.reserved_micros <> l.reserved or c.spent_micros <> l.spent`)
    expect(faults, 'counters are the sums of what stands in them').toEqual([])
    expect(await kit.sql(`select last_error from baton.audit_failures`)).toEqual([])
  },
)

test('a kill of many whose executors died books all of them together, and tells each threshold to an agent that counts there', async () => {
  const of = { ...authority, credential: { operator: { tenant: 'booked', name: 'tester' } } }
  await kit.store.ensureTenant({ id: 'booked', environment: 'test', secret: 'sealed' })
  for (const [scope, limitMicros] of [
    ['tenant', 10_000],
    ['agent:b1', 1_000],
    ['agent:*', 100_000],
  ] as const)
    ok(await kit.store.putBudget(of, { scope, period: 'lifetime' }, { limitMicros }))
  const held = await Promise.all(
    ['b1', 'b2', 'b3'].map((agent) => hold(kit, agent, { ...of, execute: { ...execution(1_000), leaseMs: 1_000 } })),
  )
  await kit.advance(2_000)
  const killed = ok(await kit.store.setSwitch(of, { scope: 'tenant', mode: 'kill', reason: 'all' }))
  expect(killed).toMatchObject({ ended: 3, more: false })
  const spent = async (scope: string): Promise<number | null | undefined> =>
    ok(await kit.store.getBudget(of, { scope, period: 'lifetime' })).budgets[0]?.spentMicros
  expect([await spent('tenant'), await spent('agent:b1'), await spent('agent:b2')]).toEqual([3_000, 1_000, 1_000])
  const told = await Promise.all(
    held.map(async ({ agentUid }) => {
      const { data } = ok(await kit.store.listEvents({ agentUid, after: 0, limit: 100 }))
      expect(data.map((event) => event.seq)).toEqual(data.map((_event, at) => at + 1))
      return data.filter((event) => event.type === 'budget').map((event) => `${String(event.data['scope'])} ${String(event.data['level'])}`)
    }),
  )
  expect(told).toEqual([['agent:b1 100'], [], []])
})
