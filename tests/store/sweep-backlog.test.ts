import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AgentUid } from '#lib/core/ids'
import type { Store } from '#lib/core/pages'
import type { Authority } from '#lib/core/store'
import { askedCall, paused } from '#tests/approvals/kit'
import { beside, claimRequest, ok, openRequest, startStore, type StoreKit } from '#tests/store/kit'
import { register } from '#tests/webhooks/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const operatorOf = (environment: string): Authority => ({
  environment,
  credential: { operator: { tenant: environment, name: 'tester' } },
  requestId: null,
})

/** A tenant and environment of its own, with so many runs in the background whose continuations were sent; what a sweep there sends, by their places. */
async function lost(environment: string, count: number) {
  await kit.store.ensureTenant({ id: environment, environment, secret: 'sealed' })
  const uids: AgentUid[] = []
  for (let at = 0; at < count; at++) uids.push(ok(await kit.store.open(openRequest(`lost-${at}`, operatorOf(environment)))).agentUid)
  const sent = () => kit.sql('update baton.outbox set sent_at = baton.clock() where environment = $1 and sent_at is null', [environment])
  await sent()
  const request = { environment, everyMs: 0, resendMs: 10_000, longestMs: 300_000, limit: 100, maxFormat: 1 }
  const round = (over: Partial<Parameters<Store['sweep']>[0]> = {}) => kit.store.sweep({ ...request, ...over })
  const swept = async (over: Parameters<typeof round>[0] = {}) => {
    const { outbox } = await round(over)
    await sent()
    return outbox.map((row) => uids.findIndex((uid) => uid === row.data.agentUid)).toSorted((a, b) => a - b)
  }
  return { uids, round, swept, claim: (at: number) => kit.store.claim(claimRequest(uids[at] as AgentUid, { environment })) }
}

test('invariant 7: runs that nobody comes for go behind the others, and no other waits for them', async () => {
  const { swept } = await lost('fair', 5)
  const found: number[][] = []
  for (let sweep = 0; sweep < 4; sweep++) {
    await kit.advance(25_000)
    found.push(await swept({ limit: 2 }))
  }
  expect(found).toEqual([
    [0, 1],
    [2, 3],
    [0, 4],
    [1, 2],
  ])
})

test('what is sent and not claimed is sent ever less often, up to a bound; a claim that dies begins anew', async () => {
  const { swept, claim } = await lost('slower', 1)
  for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
    await kit.advance(seconds * 1_000 - 5_000)
    expect({ seconds, swept: await swept() }).toEqual({ seconds, swept: [] })
    await kit.advance(5_001)
    expect({ seconds, swept: await swept() }).toEqual({ seconds, swept: [0] })
  }
  ok(await claim(0))
  await kit.advance(30_001)
  expect(await swept()).toEqual([0])
})

test('a new continuation begins anew, too: what comes of a message is not kept back by what was lost before it', async () => {
  const { uids, swept } = await lost('steered', 1)
  await kit.advance(10_001)
  for (const seconds of [20, 40, 80]) {
    expect(await swept()).toEqual([0])
    await kit.advance(seconds * 1_000 + 1)
  }
  expect(await swept()).toEqual([0])
  expect(ok(await kit.store.open(openRequest('lost-0', operatorOf('steered')))).agentUid).toBe(uids[0])
  expect(await swept()).toEqual([])
  await kit.advance(10_001)
  expect(await swept()).toEqual([0])
})

test('a row of a newer format is left to newer code, costs no event, and keeps nobody waiting', async () => {
  const { swept } = await lost('newer', 3)
  await kit.sql(`update baton.agents set format = 2 where environment = 'newer' and id = 'lost-0'`)
  await kit.sql(
    `update baton.runs r set format = 2 from baton.agents a where a.agent_uid = r.agent_uid and a.environment = 'newer' and a.id = 'lost-1'`,
  )
  await kit.advance(10_001)
  expect([await swept({ limit: 2 }), await swept({ limit: 2 })]).toEqual([[], [2]])
  await kit.advance(300_001)
  expect(await swept({ maxFormat: 2 })).toEqual([0, 1, 2])
})

test('no second row while one is unsent, and none just after it was sent', async () => {
  const { round, uids } = await lost('unsent', 1)
  await kit.sql(`update baton.outbox set sent_at = null where environment = 'unsent'`)
  const rows = async () => (await round()).outbox.map((row) => row.id)
  await kit.advance(10_001)
  const [only, ...more] = await rows()
  expect(more).toEqual([])
  await kit.advance(60_000)
  expect(await rows()).toEqual([only])
  // Sent between two looks: the next look comes before ten seconds of that are over.
  await kit.advance(5_000)
  await kit.store.outboxSent([only as string])
  await kit.advance(6_000)
  expect(await rows()).toEqual([])
  await kit.advance(10_001)
  const anew = await rows()
  expect([anew.length, anew[0] === only]).toEqual([1, false])
  expect(await kit.sql('select 1 from baton.outbox where agent_uid = $1', [uids[0]])).toHaveLength(2)
})

test('a sweep sends anew as many as may be on the way, and ten or so whatever is: a long queue at Inngest gets no longer by it', async () => {
  const { swept, claim } = await lost('queued', 9)
  await kit.advance(10_001)
  const resends = { least: 1, most: 4 }
  expect(await swept({ resends })).toEqual([0, 1, 2, 3])
  expect(await swept({ resends })).toEqual([4])
  for (const at of [0, 1, 2, 3]) ok(await claim(at))
  expect(await swept({ resends: { ...resends, least: 0 } })).toEqual([5, 6, 7])
  expect(await swept({ resends: { ...resends, least: 0 } })).toEqual([])
})

test('what was sent anew again and again is stuck, and makes no room smaller', async () => {
  const { swept } = await lost('stuck', 4)
  await kit.sql(`update baton.runs set resends = 3 where environment = 'stuck' and run_id in (select r.run_id from baton.runs r
    join baton.agents a using (agent_uid) where a.environment = 'stuck' and a.id in ('lost-0', 'lost-1'))`)
  await kit.advance(10_001)
  const resends = { least: 0, most: 2 }
  expect([await swept({ resends }), await swept({ resends }), await swept({ resends })]).toEqual([[0, 1], [2, 3], []])
})

test('however much is stuck, what its own tenant has lost just now is found; what is stuck has each fourth place', async () => {
  const { swept } = await lost('crowded', 12)
  await kit.sql(`update baton.runs set resends = 4, resend_at = baton.clock() - interval '1 hour', due_at = due_at - interval '1 hour' where run_id in
    (select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.environment = 'crowded' and substr(a.id, 6)::integer < 6)`)
  await kit.advance(10_001)
  const resends = { least: 5, most: 5 }
  const [first, second] = [await swept({ resends }), await swept({ resends })]
  expect([first.filter((at) => at < 6).length, first.filter((at) => at >= 6)]).toEqual([1, [6, 7, 8, 9]])
  expect([second.filter((at) => at < 6).length, second.filter((at) => at >= 6)]).toEqual([3, [10, 11]])
})

test('the clock sweeps when it is its time, whatever was swept beside requests; twice at once it does not', async () => {
  const { round } = await lost('ticking', 0)
  const every = { everyMs: 60_000 }
  expect(await round({ ...every, from: 'cron' })).toMatchObject({ swept: true })
  await kit.advance(60_001)
  expect(await round({ ...every, from: 'beside' })).toMatchObject({ swept: true })
  expect(await round({ ...every, from: 'beside' })).toMatchObject({ swept: false })
  expect(await round({ ...every, from: 'cron' })).toMatchObject({ swept: true })
  expect(await round({ ...every, from: 'cron' })).toMatchObject({ swept: false })
  expect(await round({ ...every, from: 'beside' })).toMatchObject({ swept: false })
})

test('a sweep whose part was full says so and goes on at once, as long as nobody else has swept', async () => {
  const { round } = await lost('backlog', 0)
  // Of no agent: what the sweep finds in the outbox alone says that there is more.
  await kit.sql(`insert into baton.outbox (id, tenant_id, environment, kind, data, due_at)
    select 'out_backlog' || n, 'backlog', 'backlog', 'continue', '{}', baton.clock() from generate_series(1, 5) n`)
  await kit.advance(10_001)
  const some = { limit: 2, everyMs: 60_000 }
  const taken: string[] = []
  let last = await round(some)
  for (; last.swept && last.more; last = await round({ ...some, after: last.at as string })) {
    taken.push(...last.outbox.map((row) => row.id))
    await kit.store.outboxSent(last.outbox.map((row) => row.id))
  }
  taken.push(...last.outbox.map((row) => row.id))
  expect({ swept: last.swept, rows: taken.length, apart: new Set(taken).size }).toEqual({ swept: true, rows: 5, apart: 5 })
  expect(await round({ ...some, from: 'cron' })).toMatchObject({ swept: true })
  expect(await round({ ...some, after: last.at as string })).toMatchObject({ swept: false, more: false })
})

test('two sweeps at once send a lost run once', async () => {
  const { round, uids } = await lost('twice', 3)
  await kit.advance(10_001)
  const both = await Promise.all([round(), round()])
  const sent = both.flatMap(({ outbox }) => outbox.map((row) => row.data.agentUid))
  expect([sent.length, new Set(sent)]).toEqual([uids.length, new Set(uids)])
})

test('a run that is claimed while the sweep comes to it is not sent anew', async () => {
  const { uids, round } = await lost('claimed', 2)
  await kit.advance(10_001)
  const swept = await beside(kit, 'claim', claimRequest(uids[0] as AgentUid, { environment: 'claimed' }), () => round())
  expect(swept.outbox.map((row) => row.data.agentUid)).toEqual([uids[1]])
})

test('a kill that was made in SQL, and waits whose time is over, go round after round', async () => {
  const { round, uids } = await lost('killed', 5)
  const values = `('killed', '', 'global', 'kill'`
  await kit.sql(`insert into baton.switches (environment, tenant_id, scope, mode, reason, actor) values ${values}, 'incident', 'sql')`)
  await kit.sql(`insert into baton.switch_work (environment, tenant_id, scope, kind) values ${values})`)
  const ended = async () => (await kit.sql('select 1 from baton.runs where agent_uid = any($1) and ended_at is not null', [uids])).length
  const many: [number, boolean][] = []
  for (let turn = 0; turn < 3; turn++) {
    const { more } = await round({ limit: 2, resendMs: 3_600_000, longestMs: 3_600_000 })
    many.push([await ended(), more])
  }
  expect(many).toEqual([
    [2, true],
    [4, true],
    [5, false],
  ])
  for (const agent of ['a', 'b', 'c']) await paused(kit, `waits-${agent}`, [askedCall(0, {}, { expiresMs: 1_000 })])
  await kit.sql(`update baton.outbox set sent_at = baton.clock() where environment = 'test'`)
  await kit.advance(1_001)
  const over = async () => (await round({ environment: 'test', limit: 2 })).more
  expect([await over(), await over()]).toEqual([true, false])
})

test('what waited for its endpoint goes round after round; what was sent before goes anew by as many as the sweep may, and in its pace', async () => {
  const { round } = await lost('aside', 0)
  const as = operatorOf('aside')
  const { id } = await register(kit, { as })
  ok(await kit.store.patchWebhook(as, id, { enabled: false }))
  await kit.sql(
    `insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, endpoint_id, url, type, payload)
    select 'dlv_aside' || g, 'evt', 'aside', 'aside', $1, 'https://example.com/', 'x', '{}' from generate_series(1, 55) g`,
    [id],
  )
  const sent = () => kit.sql(`update baton.outbox set sent_at = baton.clock() where environment = 'aside' and sent_at is null`)
  const first = ok(await kit.store.patchWebhook(as, id, { enabled: true })).outbox
  const told = new Set(first.map(({ data }) => data.deliveryId))
  const some = async (after?: string) => {
    await sent()
    const { outbox, more, at } = await round({ limit: 15, resends: { least: 1, most: 4 }, ...(after === undefined ? {} : { after }) })
    const fresh = outbox.filter(({ data }) => !told.has(data.deliveryId))
    for (const { data } of fresh) told.add(data.deliveryId)
    return { at, found: [fresh.length, outbox.length, more] }
  }
  const one = await some()
  const two = await some(one.at)
  const three = await some(two.at)
  expect([first.length, one.found, two.found, three.found]).toEqual([20, [15, 15, true], [15, 15, true], [5, 5, false]])
  await kit.advance(10_001)
  const [inTheRound, anew] = [await some(three.at), await some()]
  expect([inTheRound.found, anew.found]).toEqual([
    [0, 0, false],
    [0, 4, false],
  ])
})
