import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authority } from '#lib/core/store'
import { readMigrations } from '#supabase/migrate'
import {
  answered,
  beside,
  commit,
  completed,
  execution,
  hold,
  ids,
  message,
  ok,
  openRequest,
  authority,
  settings,
  startStore,
  take,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const texts = async (agent: string): Promise<unknown[]> => {
  const rows = await kit.sql<{ content: unknown }>(
    `select m.content from baton.messages m join baton.agents a using (agent_uid) where a.id = $1 and m.role = 'user' order by m.seq`,
    [agent],
  )
  return rows.map((row) => row.content)
}

test('invariant 1: an accepted message is in the conversation with its run, event and lease', async () => {
  const held = await hold(kit, 'accepted')
  expect(held.answer).toMatchObject({
    reserved: 'granted',
    opened: { run: { state: 'running', reservedMicros: 1_000 }, lease: { epoch: 1 } },
  })
  expect(await texts('accepted')).toEqual(['hello accepted'])
})

test('invariant 3: open repeats to its first result by run id, lease and reservation included', async () => {
  const request = openRequest('repeat', { execute: execution() })
  const first = ok(await kit.store.open(request))
  const second = ok(await kit.store.open(request))
  expect(second.run.id).toBe(first.run.id)
  expect(second.opened?.lease).toEqual(first.opened?.lease)
  expect(second.reserved).toBe('granted')
  expect(await texts('repeat')).toHaveLength(1)
  expect(second.opened?.run.reservedMicros).toBe(1_000)
})

test('invariant 9: a repeated open does not turn a refused reservation into a granted one', async () => {
  const request = openRequest('refused', { execute: execution(50_000_000) })
  expect(ok(await kit.store.open(request)).reserved).toBe('refused')
  expect(ok(await kit.store.open(request)).reserved).not.toBe('granted')
})

test('invariant 3: an open whose twin is still in flight does not fail and starts nothing twice', async () => {
  for (const agent of ['twin-a', 'twin-b', 'twin-c', 'twin-d']) {
    const request = openRequest(agent, { execute: execution() })
    const answers = await Promise.all([kit.store.open(request), kit.store.open(request), kit.store.open(request)])
    expect(new Set(answers.map((answer) => ok(answer).run.id)).size).toBe(1)
    expect(await texts(agent)).toHaveLength(1)
  }
})

test('invariant 3: a steered message whose reply was lost is not taken twice', async () => {
  const held = await hold(kit, 'steer-twice')
  const request = openRequest('steer-twice', { onBusy: 'steer', message: message('user', 'also this') })
  const first = ok(await kit.store.open(request))
  expect(first.run.id).toBe(held.runId)
  expect(ok(await kit.store.open(request)).run.id).toBe(held.runId)
  await commit(kit, held, answered(), completed)
  // Also after it has entered.
  expect(ok(await kit.store.open(request)).run.id).toBe(held.runId)
  expect(await texts('steer-twice')).toEqual(['hello steer-twice', 'also this'])
  expect(ok(await kit.store.getAgent(authority, 'steer-twice')).agent.queued).toBe(0)
})

test('a repeat after the run has ended and another has begun answers with the first run', async () => {
  const request = openRequest('later', { execute: execution() })
  const first = ok(await kit.store.open(request))
  const held = {
    agentUid: first.agentUid,
    runId: first.run.id,
    sliceId: request.execute?.sliceId ?? ids.make('slice'),
    epoch: 1,
    answer: first,
  }
  await commit(kit, held, answered(), completed)
  const next = await hold(kit, 'later')
  const again = ok(await kit.store.open(request))
  expect(again).toMatchObject({ replayed: true, run: { id: first.run.id, state: 'completed' } })
  expect(again.opened).toBeUndefined()
  await commit(kit, next, answered(), completed)
})

test('invariant 1: twins under one key get one run, another hash is refused, a refused request leaves no key', async () => {
  const key = (hash: string) => ({ idempotency: { key: 'k1', hash } })
  const twins = await Promise.all(
    Array.from({ length: 8 }, () => kit.store.open(openRequest('keyed', { ...key('h'), execute: execution() }))),
  )
  expect(new Set(twins.map((answer) => ok(answer).run.id)).size).toBe(1)
  expect(twins.filter((answer) => !ok(answer).replayed)).toHaveLength(1)
  expect(await texts('keyed')).toHaveLength(1)
  expect(await kit.store.open(openRequest('keyed', key('other')))).toMatchObject({ ok: false, code: 'idempotency_mismatch' })
  const refused = { idempotency: { key: 'k2', hash: 'h' }, agent: { name: 'nobody', uid: ids.uuid(), mustExist: true, template: null } }
  expect(await kit.store.open(openRequest('nobody', refused))).toMatchObject({ ok: false, code: 'precondition_failed' })
  expect(await kit.sql(`select 1 from baton.idempotency where key = 'k2'`)).toHaveLength(0)
})

test('many opens create one agent, and their messages stand in order of acceptance', async () => {
  const answers = await Promise.all(
    Array.from({ length: 5 }, (_, at) => kit.store.open(openRequest('many', { message: message('user', `m${at}`) }))),
  )
  expect(new Set(answers.map((answer) => ok(answer).agentUid)).size).toBe(1)
  const { agent } = ok(await kit.store.getAgent(authority, 'many'))
  expect(agent).toMatchObject({ queued: 4, state: 'working' })
  expect(await kit.sql(`select 1 from baton.agents where id = 'many'`)).toHaveLength(1)
})

test('a full queue and a busy agent refuse and keep nothing', async () => {
  await hold(kit, 'full')
  for (let at = 0; at < settings.maxQueued; at++) ok(await kit.store.open(openRequest('full')))
  expect(await kit.store.open(openRequest('full'))).toMatchObject({ ok: false, code: 'queue_full', queued: 5 })
  expect(await kit.store.open(openRequest('full', { onBusy: 'reject' }))).toMatchObject({ ok: false, code: 'agent_busy' })
  expect(await kit.sql(`select 1 from baton.inbox i join baton.agents a using (agent_uid) where a.id = 'full'`)).toHaveLength(5)
})

test('a message that follows a run and asks for more than the template gives is refused for its limit', async () => {
  const held = await hold(kit, 'followed')
  await commit(kit, held, answered('bye'), completed)
  const request = openRequest('followed')
  const run = { ...request.run, limits: { maxSteps: 99_999 } }
  const after = (runId: string) => kit.store.open({ ...request, agent: { ...request.agent, after: runId }, run })
  expect(await after(held.runId)).toMatchObject({ ok: false, code: 'limit_above_template', limit: 'maxSteps' })
  expect(await after('run_another')).toMatchObject({ ok: false, code: 'not_last_run', lastRunId: held.runId })
  expect(await texts('followed')).toEqual(['hello followed'])
})

test('steered messages enter in the order of their acceptance, wherever Postgres has put their rows', async () => {
  const held = await hold(kit, 'order')
  await kit.sql('set enable_indexscan = on')
  for (const text of ['s1', 's2', 's3']) ok(await kit.store.open(openRequest('order', { onBusy: 'steer', message: message('user', text) })))
  // An updated row moves to the end of the heap: a scan meets it last.
  await kit.sql(`update baton.inbox i set mode = i.mode where i.position = 1 and i.agent_uid = $1`, [held.agentUid])
  await kit.sql('analyze baton.inbox')
  await commit(kit, held, answered(), completed)
  expect(await texts('order')).toEqual(['hello order', 's1', 's2', 's3'])
})

test('text that Postgres cannot store is mended, in values and in keys', async () => {
  const content = [{ type: 'text' as const, text: 'nul \u0000 and lone \ud800' }]
  const held = await hold(kit, 'odd', {
    message: message('user', content),
    run: { id: ids.make('run'), limits: null, metadata: { 'a\u0000b': 1, 'c\udc00': 2 }, webhook: null, traceparent: null },
  })
  expect(await texts('odd')).toEqual([[{ type: 'text', text: 'nul \ufffd and lone \ufffd' }]])
  await commit(kit, held, { ...answered(), values: { 'k\u0000': { 'n\u0000': 1e300 } } }, completed)
  expect(await kit.sql(`select s.value from baton.agent_state s where s.agent_uid = $1`, [held.agentUid])).toEqual([
    { value: { 'n\ufffd': 1e300 } },
  ])
})

test('interrupt takes the agent from a run without a lease at once, and asks one with a lease', async () => {
  const idle = ok(await kit.store.open(openRequest('cut')))
  const next = ok(await kit.store.open(openRequest('cut', { onBusy: 'interrupt' })))
  expect(next).toMatchObject({ halt: false, run: { state: 'running' } })
  expect(ok(await kit.store.getRun(authority, idle.run.id)).run).toMatchObject({ state: 'cancelled', stopReason: 'interrupted' })
  const held = await take(kit, next.agentUid)
  const interrupting = openRequest('cut', { onBusy: 'interrupt' })
  expect(ok(await kit.store.open(interrupting))).toMatchObject({ halt: true, run: { state: 'queued' } })
  // Who asks again because the reply was lost has told the executor nothing yet.
  expect(ok(await kit.store.open(interrupting))).toMatchObject({ halt: true, replayed: true })
  const first = await commit(kit, held, answered(), completed)
  expect(first).toMatchObject({ allowed: false, released: false, flags: { stop: 'interrupted' } })
  const last = await commit(kit, held, {}, { end: { state: 'cancelled', stopReason: 'interrupted', output: null, error: null } })
  expect(last).toMatchObject({ released: true, state: 'cancelled' })
  expect(ok(await kit.store.getAgent(authority, 'cut')).agent).toMatchObject({ queued: 0, state: 'working' })
})

test('files of a run that the provider has refused are notes to other runs until a retry of it goes well', async () => {
  const file = { type: 'file', data: 'data:image/heic;base64,AAAA', mediaType: 'image/heic' } as const
  const named = { type: 'text', text: 'look' } as const
  const note = { type: 'text', text: expect.stringContaining('image/heic was left out') }
  const refused = { state: 'failed', stopReason: 'bad_request', output: null, error: { code: 'bad_request', message: 'x' } } as const
  /** What the model is asked with. */
  const seen = ({ answer }: Held) => ok(answer).opened?.window.map(({ content }) => content)
  const files = [named, file]
  const first = await hold(kit, 'picky', { message: message('user', files) })
  const steered = openRequest('picky', { message: message('user', [file]), onBusy: 'steer' })
  ok(await kit.store.open(steered))
  await commit(kit, first, answered())
  await commit(kit, first, {}, { end: refused })
  const retried = async (): Promise<Held> => {
    const newRunId = ids.make('run')
    ok(await kit.store.retry(authority, { runId: first.runId, newRunId, versions: { plain: 'v1' }, settings: null }))
    return take(kit, first.agentUid)
  }
  const second = await retried()
  expect(seen(second)).toEqual([files, expect.anything(), [file]])
  await commit(kit, second, {}, { end: refused })
  await commit(kit, await retried(), {}, { end: { ...refused, stopReason: 'provider_auth' } })
  const third = await hold(kit, 'picky')
  expect(seen(third)).toEqual([[named, note], expect.anything(), [note], 'hello picky'])
  await commit(kit, third, {}, { end: { ...refused, stopReason: 'provider_auth' } })
  await commit(kit, await retried(), answered(), completed)
  expect(seen(await hold(kit, 'picky'))?.slice(0, 3)).toEqual([files, expect.anything(), [file]])
})

test('a repeat that waits while its agent is deleted makes none anew; a day later its key is free, and of what it said nothing is kept', async () => {
  const keyed = () => openRequest('deleted-beside', { idempotency: { key: 'beside', hash: 'of-a-text' } })
  await commit(kit, await take(kit, ok(await kit.store.open(keyed())).agentUid), answered(), completed)
  const gone = { ok: false, code: 'agent_not_found', reason: 'deleted' }
  expect(await beside(kit, 'delete_agent', { ...authority, agent: 'deleted-beside' }, () => kit.store.open(keyed()))).toMatchObject(gone)
  expect(await kit.store.open(keyed())).toMatchObject(gone)
  expect(await kit.sql(`select 1 from baton.agents where id = 'deleted-beside'`)).toEqual([])
  expect(await kit.sql(`select 1 from baton.idempotency where key = 'beside' or hash = 'of-a-text'`)).toEqual([])
  await kit.advance(25 * 3_600_000)
  ok(await kit.store.prune({ environment: 'test', limit: 1_000 }))
  expect(ok(await kit.store.open(keyed())).replayed).toBe(false)
})

/** An API key and two that it was rotated into one after the other, all of them active, and one of nobody's line. */
async function keysOfOneLine(): Promise<{ line: Authority[]; stranger: Authority }> {
  const fresh = () => ({ id: ids.make('key'), hash: ids.uuid().replaceAll('-', '').repeat(2), prefix: 'bt_' })
  const more = { name: 'x', scopes: ['agents:run'] as const, expiresAt: null }
  const [first, second, third, other] = [fresh(), fresh(), fresh(), fresh()]
  for (const key of [first, other]) ok(await kit.store.createKey(authority, { ...key, ...more }))
  ok(await kit.store.rotateKey(authority, first.id, { ...second, overlapMs: 3_600_000 }))
  ok(await kit.store.rotateKey(authority, second.id, { ...third, overlapMs: 3_600_000 }))
  const as = ({ hash }: { hash: string }): Authority => ({ ...authority, credential: { keyHash: hash } })
  return { line: [first, second, third].map(as), stranger: as(other) }
}

test('a repeat under another key of one line of rotations is a repeat: of a message, a steered one and a bulk retry; a stranger is none of it', async () => {
  const { line, stranger } = await keysOfOneLine()
  const made = new Set<unknown>()
  for (const [at, sender] of line.entries()) {
    const send = (who: Authority, hash = 'h') =>
      kit.store.open(openRequest(`line-${at}`, { ...who, idempotency: { key: `line-${at}`, hash } }))
    const { run, replayed } = ok(await send(sender))
    expect(replayed).toBe(false)
    for (const who of line) expect(ok(await send(who))).toMatchObject({ replayed: true, run: { id: run.id } })
    for (const who of line) expect(await send(who, 'another')).toMatchObject({ ok: false, code: 'idempotency_mismatch' })
    expect(ok(await send(stranger))).toMatchObject({ replayed: false })
    const { created_by: by } =
      (await kit.sql<{ created_by: string }>('select created_by from baton.runs where run_id = $1', [run.id]))[0] ?? {}
    made.add(by)
  }
  // Each run is of the key that sent it.
  expect(made.size).toBe(3)
  const [first = authority, , third = authority] = line
  const held = await hold(kit, 'line-steered')
  const steered = (who: Authority) =>
    kit.store.open(openRequest('line-steered', { ...who, onBusy: 'steer', idempotency: { key: 'steered', hash: 'h' } }))
  expect(ok(await steered(third)).run.id).toBe(held.runId)
  await commit(kit, held, answered(), { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  // It came too late for that run: each of them finds the one that it became.
  const became = ok(await steered(first))
  expect(became.replayed).toBe(true)
  expect(became.run.id).not.toBe(held.runId)
  const bulk = { filter: {}, limit: 10, idempotency: { key: 'bulk', hash: 'h' } }
  const chosen = async (who: Authority) =>
    ok(await kit.store.retryCandidates(who, { ...bulk, newRunIds: [ids.make('run'), ids.make('run')] }))
  expect([await chosen(third), await chosen(first), await chosen(stranger)].map(({ replayed }) => replayed)).toEqual([false, true, false])
})

test('a key and its successor that send the same at the same time start one run, and its repeat is late for both when the agent is gone', async () => {
  const { line } = await keysOfOneLine()
  const [first = authority, second = authority] = line
  const keyed = (who: Authority) => openRequest('line-beside', { ...who, idempotency: { key: 'line-beside', hash: 'h' } })
  const answer = ok(await beside(kit, 'open', keyed(first), () => kit.store.open(keyed(second))))
  expect(answer.replayed).toBe(true)
  expect(await kit.sql(`select 1 from baton.runs r join baton.agents a using (agent_uid) where a.id = 'line-beside'`)).toHaveLength(1)
  await kit.store.deleteAgent(authority, 'line-beside')
  for (const who of line) expect(await kit.store.open(keyed(who))).toMatchObject({ ok: false, code: 'agent_not_found', reason: 'deleted' })
})

test('who may only send is told of what keys of its own line have made, also when the first of them is forgotten, and of nobody else', async () => {
  const { line, stranger } = await keysOfOneLine()
  const [first = authority, second = authority, third = authority] = line
  const { run } = ok(await kit.store.open(openRequest('line-read', second)))
  const told = async (who: Authority) => ok(await kit.store.stop(who, { runId: run.id }, 'cancelled', null)).mayRead
  expect([await told(third), await told(first), await told(stranger)]).toEqual([true, true, false])
  // A database of before knows the rotations alone.
  await kit.sql('update baton.api_keys set line = null')
  await kit.sql((await readMigrations()).find(({ name }) => name.startsWith('0010'))?.sql ?? '')
  expect([await told(third), await told(first), await told(stranger)]).toEqual([true, true, false])
  await kit.sql('update baton.api_keys k set rotated_from = null where k.rotated_from = k.line')
  await kit.sql('delete from baton.api_keys k where k.line is null and exists (select from baton.api_keys x where x.line = k.id)')
  expect([await told(third), await told(stranger)]).toEqual([true, false])
})
