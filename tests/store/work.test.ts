import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noUsage } from '#lib/core/run'
import type { NewMessage } from '#lib/core/commit'
import {
  answered,
  asUser,
  claimRequest,
  commit,
  commitOf,
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
  toolCall,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const runOf = async (held: Held) => ok(await kit.store.getRun(authority, held.runId)).run
const agentOf = async (name: string) => ok(await kit.store.getAgent(authority, name)).agent
const roles = async (held: Held): Promise<string[]> =>
  (await kit.store.listMessages({ agentUid: held.agentUid, limit: 100 })).data.map((row) => row.role)
const continuations = (held: Held): Promise<{ due_at: Date; sent_at: Date | null }[]> =>
  kit.sql(`select due_at, sent_at from baton.outbox where agent_uid = $1 and kind = 'continue' order by created_at`, [held.agentUid])

test('invariant 3: a commit repeats to its first result, and is refused under another epoch or owner', async () => {
  const held = await hold(kit, 'commit')
  const step = commitOf(held, answered(), completed)
  const first = ok(await kit.store.commit(step))
  const { outbox: _rows, now: _now, ...facts } = first as typeof first & { now: string }
  expect(ok(await kit.store.commit(step))).toMatchObject(facts)
  expect(await roles(held)).toEqual(['user', 'assistant'])
  expect(await kit.store.commit({ ...step, commitId: ids.make('commit') })).toMatchObject({ ok: false, code: 'lease_lost' })
  const events = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 100 }))
  expect(events.data.map((event) => event.seq)).toEqual(events.data.map((_event, at) => at + 1))
  expect(events.data.filter((event) => event.type === 'done')).toHaveLength(1)
})

test('invariant 2: a stale epoch commits nothing, renews nothing, reserves nothing, but may settle', async () => {
  const held = await hold(kit, 'stale', { execute: execution(5_000) })
  const reservation = (await kit.sql<{ id: `res_${string}` }>('select id from baton.reservations where run_id = $1', [held.runId]))[0]
  await kit.advance(31_000)
  const next = await take(kit, held.agentUid)
  expect(next.epoch).toBeGreaterThan(held.epoch)
  expect(await runOf(held)).toMatchObject({ costMicros: 5_000, reservedMicros: 0, crashes: 1 })
  expect(await kit.store.commit(commitOf(held, answered(), completed))).toMatchObject({ code: 'lease_lost' })
  expect(await kit.store.renew({ ...held, leaseMs: 30_000 })).toMatchObject({ code: 'lease_lost' })
  const settle = {
    agentUid: held.agentUid,
    runId: held.runId,
    settle: [{ id: reservation?.id ?? ids.make('res'), costMicros: 700, usage: noUsage, estimated: false }],
  }
  await kit.store.settle(settle)
  await kit.store.settle(settle)
  expect(await runOf(held)).toMatchObject({ costMicros: 700, reservedMicros: 0 })
  await commit(kit, next, answered(), completed)
})

test('invariant 3: claim repeats by slice id while its lease lives; another slice is refused', async () => {
  const opened = ok(await kit.store.open(openRequest('claim')))
  const request = claimRequest(opened.agentUid)
  const first = ok(await kit.store.claim(request))
  const second = ok(await kit.store.claim(request))
  expect(second.opened.lease).toEqual(first.opened.lease)
  expect(await kit.store.claim(claimRequest(opened.agentUid))).toMatchObject({ code: 'lease_live' })
  expect(await runOf({ ...request, runId: opened.run.id, epoch: 1, answer: first })).toMatchObject({ slices: 1, crashes: 0 })
})

test('invariant 9: a take-over that first needs the new template loses no money', async () => {
  const held = await hold(kit, 'deployed', { execute: execution(4_000) })
  await kit.advance(31_000)
  const request = claimRequest(held.agentUid, { versions: { plain: 'v2' } })
  expect(await kit.store.claim(request)).toMatchObject({ code: 'template_changed' })
  const opened = ok(await kit.store.claim({ ...request, settings: { ...settings, templateVersion: 'v2' } })).opened
  expect(opened.run).toMatchObject({ costMicros: 4_000, reservedMicros: 0, crashes: 1 })
})

test('invariant 9: an estimated settlement without a cost books what the database reserved', async () => {
  const held = await hold(kit, 'estimate', { execute: execution(null) })
  const reserved = (await runOf(held)).reservedMicros
  expect(reserved).toBeGreaterThan(0)
  const rows = await kit.sql<{ id: `res_${string}` }>('select id from baton.reservations where run_id = $1', [held.runId])
  const settle = rows.map(({ id }) => ({ id, costMicros: null, usage: noUsage, estimated: true }))
  await commit(kit, held, { settle, progress: false })
  expect(await runOf(held)).toMatchObject({ costMicros: reserved, reservedMicros: 0 })
})

test('renew repeats a reservation to its first result and carries the flags', async () => {
  const held = await hold(kit, 'renew', { execute: execution(0) })
  const reserve = { id: ids.make('res'), step: 2, attempt: 0, model: 'test/model', micros: 600 }
  const request = { ...held, leaseMs: 30_000, reserve }
  for (let time = 0; time < 2; time++)
    expect(ok(await kit.store.renew(request))).toMatchObject({ reserved: 'granted', flags: { stop: null } })
  expect(await runOf(held)).toMatchObject({ reservedMicros: 600 })
  await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null)
  expect(ok(await kit.store.renew({ ...held, leaseMs: 30_000 }))).toMatchObject({ flags: { stop: 'cancelled' } })
})

test('invariant 4 and 5: calls start by commit, results enter in call order with the last one, late ones are dropped', async () => {
  const held = await hold(kit, 'tools')
  const calls = [toolCall(0), toolCall(1), toolCall(2, { effect: 'once' })]
  const started = calls.map((call) => call.callId)
  const content = calls.map((call) => ({ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }))
  await commit(kit, held, { messages: [message('assistant', content)], calls, count: { step: 1, modelCalls: 1 } }, { start: started })
  const output = (index: number) => ({ type: 'json' as const, value: index })
  for (const index of [2, 0]) {
    const call = calls[index]
    if (call !== undefined) await commit(kit, held, { calls: [{ ...call, state: 'completed', output: output(index) }] })
  }
  expect(await roles(held)).toEqual(['user', 'assistant'])
  const [, middle, last] = calls
  if (middle === undefined || last === undefined) throw new Error('three calls were made')
  const late = { ...last, state: 'failed' as const, output: output(99) }
  const answer = await commit(kit, held, { calls: [{ ...middle, state: 'completed', output: output(1) }, late] })
  expect(answer.toolCalls).toBe(3)
  const results = answer.entered.flatMap((row) => row.content as { toolCallId: string; output: { value: number } }[])
  expect(results.map((result) => [result.toolCallId, result.output.value])).toEqual(started.map((callId, index) => [callId, index]))
  const events = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 100, types: ['tool_start'] }))
  expect(events.data.map((event) => event.data['callId'])).toEqual(started)
})

test('steer against the end: the last commit takes it in and goes on; a stop asked for wins', async () => {
  const held = await hold(kit, 'steer-end')
  ok(await kit.store.open(openRequest('steer-end', { onBusy: 'steer', message: message('user', 'wait') })))
  expect(await commit(kit, held, answered(), completed)).toMatchObject({ steered: true, released: false, state: 'running' })
  ok(await kit.store.open(openRequest('steer-end', { onBusy: 'steer', message: message('user', 'too late') })))
  await kit.store.stop(authority, { runId: held.runId }, 'cancelled', null)
  const end = { end: { state: 'cancelled' as const, stopReason: 'cancelled' as const, output: null, error: null } }
  expect(await commit(kit, held, {}, end)).toMatchObject({ steered: false, released: true, state: 'cancelled' })
  expect(await agentOf('steer-end')).toMatchObject({ queued: 0, state: 'working' })
})

test('invariant 7: each way to let go of a due run writes its continuation in the same transaction', async () => {
  const held = await hold(kit, 'let-go')
  expect(await continuations(held)).toHaveLength(0)
  await commit(kit, held, answered(), { release: 'slice_deadline' })
  expect(await continuations(held)).toHaveLength(1)
  const second = await take(kit, held.agentUid)
  expect((await continuations(held)).every((row) => row.sent_at !== null)).toBe(true)
  await commit(kit, second, {}, { wait: { kind: 'retry', ms: 5_000 } })
  expect(await continuations(held)).toHaveLength(2)
  expect(await kit.store.claim(claimRequest(held.agentUid))).toMatchObject({ code: 'not_due' })
  await kit.advance(5_001)
  const third = await take(kit, held.agentUid)
  ok(await kit.store.open(openRequest('let-go')))
  await commit(kit, third, answered(), completed)
  expect(await continuations(held)).toHaveLength(3)
  expect(await agentOf('let-go')).toMatchObject({ queued: 0, state: 'working' })
  // The executor of the next run dies: whoever changes the agent then leaves a continuation behind.
  await take(kit, held.agentUid)
  await kit.advance(31_000)
  ok(await kit.store.open(openRequest('let-go')))
  expect(await continuations(held)).toHaveLength(4)
})

test('stop and retry repeat: nothing ends twice, one new run, none from a message that never entered', async () => {
  const held = await hold(kit, 'stopped')
  const queued = ok(await kit.store.open(openRequest('stopped')))
  for (let time = 0; time < 2; time++) ok(await kit.store.stop(authority, { runId: queued.run.id }, 'cancelled', null))
  expect(await agentOf('stopped')).toMatchObject({ queued: 0 })
  const deployed = { versions: { plain: 'v1' }, settings: null }
  expect(await kit.store.retry(authority, { runId: queued.run.id, newRunId: ids.make('run'), ...deployed })).toMatchObject({
    ok: false,
    code: 'conflict',
  })
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const request = { runId: held.runId, newRunId: ids.make('run'), ...deployed }
  const runs = [ok(await kit.store.retry(authority, request)), ok(await kit.store.retry(authority, request))]
  expect(runs.map((answer) => answer.run.id)).toEqual([request.newRunId, request.newRunId])
  await commit(kit, await take(kit, held.agentUid), answered(), completed)
  expect(ok(await kit.store.retry(authority, request)).run).toMatchObject({ id: request.newRunId, state: 'completed' })
  expect(await kit.sql('select 1 from baton.runs where retry_of = $1', [held.runId])).toHaveLength(1)
})

test('a user goes on from a run of theirs only while its template is open to users', async () => {
  const user = { ...authority, credential: asUser(ids.uuid()) }
  const held = await hold(kit, 'closed-to-users', user)
  await commit(kit, held, {}, { end: { state: 'failed', stopReason: 'max_steps', output: null, error: null } })
  const deployed = { versions: { plain: 'v2' }, settings: { ...settings, templateVersion: 'v2', public: false } }
  const request = { runId: held.runId, newRunId: ids.make('run'), ...deployed }
  expect(await kit.store.retry(user, request)).toMatchObject({ ok: false, code: 'forbidden', reason: 'template_not_public' })
  ok(await kit.store.retry(authority, request))
})

test('a run names the one before it, whatever came after', async () => {
  const runs: string[] = []
  for (let n = 0; n < 3; n++) {
    const held = await hold(kit, 'one-by-one')
    runs.push(held.runId)
    await commit(kit, held, answered(), completed)
  }
  const before = await Promise.all(runs.map(async (run) => ok(await kit.store.getRun(authority, run as Held['runId'])).previousRunId))
  expect(before).toEqual([null, runs[0], runs[1]])
})

test('interrupt against commit: whichever is first, the run ends once and nothing dangles', async () => {
  for (let round = 0; round < 12; round++) {
    const name = `race-${round}`
    const held = await hold(kit, name)
    const [stopped, end] = await Promise.all([
      kit.store.stop(authority, { agent: name }, 'interrupted', null),
      commit(kit, held, answered(), completed),
    ])
    if (!end.released) await commit(kit, held, {}, { end: { state: 'cancelled', stopReason: 'interrupted', output: null, error: null } })
    expect(ok(stopped).ok).toBe(true)
    const events = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 100, types: ['done'] }))
    expect(events.data).toHaveLength(1)
    expect(await agentOf(name)).toMatchObject({ state: 'ready', queued: 0 })
  }
})

test('delete against commit and open: the commit is refused, the next message makes a new agent', async () => {
  const held = await hold(kit, 'gone')
  const [, late, fresh] = await Promise.all([
    kit.store.deleteAgent(authority, 'gone'),
    kit.store.commit(commitOf(held, answered(), completed)),
    kit.store.open(openRequest('gone')),
  ])
  if (!late.ok) expect(late).toMatchObject({ code: 'lease_lost' })
  expect(ok(fresh).ok).toBe(true)
  // Where the message came first it went with the agent; else it has made a new one.
  await kit.store.deleteAgent(authority, 'gone')
  expect(await kit.store.getAgent(authority, 'gone')).toMatchObject({ ok: false })
  for (const table of ['agents', 'runs', 'messages', 'events', 'inbox', 'tool_calls', 'idempotency']) {
    expect(await kit.sql(`select 1 from baton.${table} where agent_uid = $1`, [held.agentUid])).toHaveLength(0)
  }
})

test('the loaded window is cut at 1 MB, at a user message and never between a call and its result', async () => {
  const held = await hold(kit, 'large', { message: message('user', 'x'.repeat(200_000)) })
  const big = (role: NewMessage['role'], text: string): NewMessage => message(role, text.padEnd(240_000, '.'))
  await commit(kit, held, {
    messages: [big('assistant', 'a1'), big('user', 'u2'), big('assistant', 'a2'), big('assistant', 'a3'), big('assistant', 'a4')],
  })
  await commit(kit, held, {}, { release: 'slice_deadline' })
  const first = await take(kit, held.agentUid)
  if (!('opened' in first.answer) || first.answer.opened === undefined) throw new Error('no window')
  expect(first.answer.opened.window.map((row) => row.seq)).toEqual([3, 4, 5, 6])
  await commit(kit, first, { messages: [big('assistant', 'a5')] }, { release: 'slice_deadline' })
  const second = await take(kit, held.agentUid)
  if (!('opened' in second.answer) || second.answer.opened === undefined) throw new Error('no window')
  // More than 1 MB since the last user message: it stays, with all that follows it.
  expect(second.answer.opened.window[0]).toMatchObject({ seq: 3, role: 'user' })
})

test('window_tokens is an upper bound after the window has moved, kept messages counted', async () => {
  const kept = { ...settings, window: { maxTokens: 1_000, maxMessages: 200, keepFirst: 1 } }
  const held = await hold(kit, 'kept', { settings: kept, message: message('user', 'y'.repeat(3_000)) })
  await commit(kit, held, { messages: [message('assistant', 'z'.repeat(300)), message('user', 'next')] }, { window: { from: 3 } })
  const rows = await kit.sql<{ tokens: number }>(
    'select sum(est_tokens)::integer as tokens from baton.messages where agent_uid = $1 and seq in (1, 3)',
    [held.agentUid],
  )
  expect((await agentOf('kept')).windowTokens).toBe(rows[0]?.tokens)
})

test('until the window moves, what it keeps stands in it once, and its tokens grow with each message', async () => {
  const kept = { ...settings, window: { maxTokens: 1_000, maxMessages: 200, keepFirst: 1 } }
  const held = await hold(kit, 'unmoved', { settings: kept })
  await commit(kit, held, { messages: [message('assistant', 'z'.repeat(3_000))] }, { release: 'slice_deadline' })
  const { answer } = await take(kit, held.agentUid)
  expect('opened' in answer && answer.opened?.window.map(({ seq }) => seq)).toEqual([1, 2])
  expect((await agentOf('unmoved')).windowTokens).toBeGreaterThan(1_000)
})

test('between two files of an upgrade work goes on: what the verbs store has its columns with them', async () => {
  const upgraded = await startStore()
  try {
    await upgraded.sql(`alter table baton.runs drop column resends cascade, drop column resend_at cascade;
      alter table baton.agents drop column past_slices cascade`)
    await upgraded.sql(await readFile('supabase/migrations/0002_work.sql', 'utf8'))
    const held = await hold(upgraded, 'between')
    await commit(upgraded, held, answered(), { release: 'slice_deadline' })
    await commit(upgraded, await take(upgraded, held.agentUid), answered(), completed)
  } finally {
    await upgraded.close()
  }
})
