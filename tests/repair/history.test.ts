import { afterAll, beforeAll, expect, test } from 'vitest'
import { answered, authority, commit, completed, hold, ids, ok, startStore, type StoreKit } from '#tests/store/kit'
import { codes, findings, history, repaired, worked } from '#tests/repair/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const roles = async (uid: string) => (await history(kit, uid)).map(({ role }) => role)
const whole = ['user', 'assistant', 'tool', 'assistant', 'user', 'assistant']

test('an agent that has worked has no findings', async () => {
  const { agent, agentUid } = await worked(kit, 'sound')
  expect(await findings(kit, agent)).toEqual([])
  expect(await roles(agentUid)).toEqual(whole)
})

test('message_gap: each lost message leaves a row that says so', async () => {
  const { agent, agentUid } = await worked(kit, 'gap')
  await kit.sql('delete from baton.messages where agent_uid = $1 and seq in (4, 6)', [agentUid])
  expect(await findings(kit, agent)).toMatchObject([
    { code: 'message_gap', details: { from: 4, to: 4 } },
    { code: 'message_gap', details: { from: 6, to: 6 } },
  ])
  await repaired(kit, agent)
  expect((await history(kit, agentUid)).map(({ seq, kind }) => [seq, kind])).toEqual([
    [1, 'message'],
    [2, 'message'],
    [3, 'message'],
    [4, 'gap'],
    [5, 'message'],
    [6, 'gap'],
  ])
})

test('dangling_call: a lost tool message is made again from the records, in its place', async () => {
  const { agent, agentUid, callIds } = await worked(kit, 'dangling')
  const before = await history(kit, agentUid)
  await kit.sql('delete from baton.messages where agent_uid = $1 and seq = 3', [agentUid])
  expect(codes(await findings(kit, agent))).toEqual(['dangling_call', 'message_gap'])
  expect((await findings(kit, agent)).find(({ code }) => code === 'dangling_call')).toMatchObject({ details: { seq: 2, callIds } })
  await repaired(kit, agent)
  expect(await history(kit, agentUid)).toEqual(before)
})

test('dangling_call: one result of two is lost; the tool message gets it back', async () => {
  const { agent, agentUid, callIds } = await worked(kit, 'half')
  const before = await history(kit, agentUid)
  await kit.sql(`update baton.messages set content = json_build_array(content -> 0) where agent_uid = $1 and seq = 3`, [agentUid])
  expect(await findings(kit, agent)).toMatchObject([{ code: 'dangling_call', details: { callIds: [callIds[1]] } }])
  await repaired(kit, agent)
  expect(await history(kit, agentUid)).toEqual(before)
})

test('dangling_call: without a place and without a record the rest moves up, and the outcome is unknown', async () => {
  const { agent, agentUid, secondRun } = await worked(kit, 'moved')
  const before = await history(kit, agentUid)
  await kit.sql('delete from baton.messages where agent_uid = $1 and seq = 3', [agentUid])
  await kit.sql('delete from baton.tool_calls where agent_uid = $1', [agentUid])
  await kit.sql('update baton.messages set seq = seq - 1 where agent_uid = $1 and seq = 4', [agentUid])
  await kit.sql('update baton.messages set seq = seq - 1 where agent_uid = $1 and seq = 5', [agentUid])
  await kit.sql('update baton.messages set seq = seq - 1 where agent_uid = $1 and seq = 6', [agentUid])
  await kit.sql('update baton.agents set last_message_seq = 5 where agent_uid = $1', [agentUid])
  await kit.sql('update baton.runs set opening_seq = 4 where run_id = $1', [secondRun])
  expect(codes(await findings(kit, agent))).toEqual(['dangling_call'])
  await repaired(kit, agent)
  const after = await history(kit, agentUid)
  expect(after.map(({ role }) => role)).toEqual(whole)
  expect(JSON.stringify(after[2])).toContain('unknown')
  expect(after.filter(({ seq }) => seq !== 3)).toEqual(before.filter(({ seq }) => seq !== 3))
  expect(await kit.sql('select opening_seq::integer as seq from baton.runs where run_id = $1', [secondRun])).toEqual([{ seq: 5 }])
  expect((await kit.sql('select last_message_seq::integer as last from baton.agents where agent_uid = $1', [agentUid]))[0]).toEqual({
    last: 6,
  })
})

test('doubled_result: the first stays, the message with the other is kept aside', async () => {
  const { agent, agentUid, callIds } = await worked(kit, 'doubled')
  const before = await history(kit, agentUid)
  await kit.sql(
    `update baton.messages set content = (select json_agg(p.value order by p.n) from (select value, ordinality as n from json_array_elements(content) with ordinality
      union all select json_build_object('type', 'tool-result', 'toolCallId', $2::text, 'toolName', 'echo', 'output', json_build_object('type', 'text', 'value', 'another')), 9) p)
      where agent_uid = $1 and seq = 3`,
    [agentUid, callIds[0]],
  )
  expect(await findings(kit, agent)).toMatchObject([{ code: 'doubled_result', details: { seq: 3, place: 3, callId: callIds[0] } }])
  await repaired(kit, agent)
  expect(await history(kit, agentUid)).toEqual(before)
  const [kept] = await kit.sql<{ before: unknown }>(`select before from baton.repairs where agent_uid = $1 and code = 'doubled_result'`, [
    agentUid,
  ])
  expect(JSON.stringify(kept)).toContain('another')
})

test('orphan_result: a lost answer with calls is made again from the records', async () => {
  const { agent, agentUid } = await worked(kit, 'orphan')
  const before = await history(kit, agentUid)
  await kit.sql('delete from baton.messages where agent_uid = $1 and seq = 2', [agentUid])
  expect(codes(await findings(kit, agent))).toEqual(['message_gap', 'orphan_result'])
  await repaired(kit, agent)
  expect(await history(kit, agentUid)).toEqual(before)
})

test.each<[number, string, string[]]>([
  [1, 'user', ['message_corrupted']],
  [2, 'assistant', ['message_corrupted', 'orphan_result']],
  [3, 'tool', ['dangling_call', 'message_corrupted']],
  [4, 'assistant', ['message_corrupted']],
])('message_corrupted: message %i of the %s is replaced and kept; results come back from the records', async (seq, role, expected) => {
  const { agent, agentUid } = await worked(kit, `corrupted-${seq}`)
  const before = await history(kit, agentUid)
  await kit.sql(`update baton.messages set content = '{"broken": "precious"}' where agent_uid = $1 and seq = $2`, [agentUid, seq])
  const found = await findings(kit, agent)
  expect(codes(found)).toEqual(expected)
  expect(found.find(({ code }) => code === 'message_corrupted')).toMatchObject({ details: { seq, role } })
  await repaired(kit, agent)
  const kept = await kit.sql(`select before from baton.repairs where agent_uid = $1 and code = 'message_corrupted'`, [agentUid])
  expect(JSON.stringify(kept)).toContain('precious')
  const after = await history(kit, agentUid)
  if (role === 'tool') expect(after).toEqual(before)
  else expect(JSON.stringify(after.find((row) => row.seq === seq)?.content)).toContain('could not be read')
  // The agent works again.
  const held = await hold(kit, agent)
  await commit(kit, held, answered('third'), completed)
  expect(await findings(kit, agent)).toEqual([])
})

test('message_corrupted and doubled_result: results of which nothing is left give way to a note, for a tool message without one is none', async () => {
  const { agent, agentUid, callIds } = await worked(kit, 'nothing-left')
  await kit.sql(`update baton.messages set content = '{"broken": "precious"}' where agent_uid = $1 and seq in (2, 3)`, [agentUid])
  await kit.sql(
    `insert into baton.messages (agent_uid, seq, tenant_id, role, content, bytes, est_tokens) select $1, n, 'one', 'tool',
      json_build_array(json_build_object('type', 'tool-result', 'toolCallId', $2::text, 'toolName', 'echo', 'output', json_build_object('type', 'text', 'value', 'x'))), 1, 1
      from generate_series(7, 8) n`,
    [agentUid, callIds[0]],
  )
  await kit.sql('update baton.agents set last_message_seq = 8, window_tokens = 100000 where agent_uid = $1', [agentUid])
  expect(codes(await findings(kit, agent))).toEqual(['doubled_result', 'message_corrupted', 'orphan_result'])
  await repaired(kit, agent)
  expect((await history(kit, agentUid)).map(({ role, kind }) => `${role} ${kind}`)).toEqual([
    'user message',
    'assistant message',
    'user gap',
    'assistant message',
    'user message',
    'assistant message',
    'assistant message',
    'tool message',
    'user gap',
  ])
})

test('event_gap: readers get every number again', async () => {
  const { agent, agentUid } = await worked(kit, 'events')
  const [last] = await kit.sql<{ seq: number }>('select last_event_seq::integer as seq from baton.agents where agent_uid = $1', [agentUid])
  await kit.sql('delete from baton.events where agent_uid = $1 and seq in (3, 4, $2)', [agentUid, last?.seq])
  expect(await findings(kit, agent)).toMatchObject([
    { code: 'event_gap', details: { from: 3, to: 4 } },
    { code: 'event_gap', details: { from: last?.seq, to: last?.seq } },
  ])
  await repaired(kit, agent)
  const { data } = ok(await kit.store.listEvents({ agentUid, after: 0, limit: 500 }))
  expect(data.map(({ seq }) => seq)).toEqual(Array.from({ length: last?.seq ?? 0 }, (_, n) => n + 1))
  expect(data.filter(({ type }) => type === 'repaired')).toHaveLength(3)
  expect(await kit.store.getAgent(authority, agent)).toMatchObject({ ok: true, agent: { state: 'ready' } })
})

test('counter_differs: each counter of the agent is counted again', async () => {
  const { agent, agentUid } = await worked(kit, 'counters')
  const before = await kit.sql(
    'select steps, queued, last_event_seq, last_message_seq, first_event_seq from baton.agents where agent_uid = $1',
    [agentUid],
  )
  await kit.sql(
    `update baton.agents set steps = 99, queued = 4, last_event_seq = 2, last_message_seq = 1, first_event_seq = 3, window_tokens = 0 where agent_uid = $1`,
    [agentUid],
  )
  const counters = (await findings(kit, agent)).map(({ code, details }) => [code, details['counter']])
  expect(counters.toSorted((a, b) => String(a[1]).localeCompare(String(b[1])))).toEqual(
    ['first_event_seq', 'last_event_seq', 'last_message_seq', 'queued', 'steps', 'window_tokens'].map((name) => ['counter_differs', name]),
  )
  await repaired(kit, agent)
  expect(
    await kit.sql('select steps, queued, last_event_seq, last_message_seq, first_event_seq from baton.agents where agent_uid = $1', [
      agentUid,
    ]),
  ).toEqual(before)
})

const call = { type: 'tool-call', toolCallId: 'call_1', toolName: 'echo', input: {} }
const result = { type: 'tool-result', toolCallId: 'call_1', toolName: 'echo', output: { type: 'text', value: 'x' } }
test.each<[string, unknown, boolean]>([
  ['user', 'text', true],
  ['tool', 'text', false],
  ['user', [{ type: 'file', data: 'x', mediaType: 'image/png' }], true],
  ['tool', [{ type: 'file', data: 'x', mediaType: 'image/png' }], false],
  ['assistant', [{ type: 'text', text: 'x' }, call], true],
  ['assistant', [{ type: 'text' }], false],
  ['assistant', [{ ...call, toolName: undefined }], false],
  ['assistant', [{ ...call, toolCallId: 7 }], false],
  ['tool', [result], true],
  ['tool', [{ ...result, output: 'x' }], false],
  ['user', ['x'], false],
  ['user', { type: 'text', text: 'x' }, false],
])('a message of the %s that is %j is one that can be read: %s', async (role, content, readable) => {
  expect(await kit.sql('select baton.readable($1, $2::json) as readable', [role, JSON.stringify(content)])).toEqual([{ readable }])
})

test('a result answers a call that stands before it, and no other', async () => {
  const { agent, agentUid, callIds } = await worked(kit, 'turned')
  await kit.sql('update baton.messages set seq = case seq when 2 then -3 else -2 end where agent_uid = $1 and seq in (2, 3)', [agentUid])
  await kit.sql('update baton.messages set seq = -seq where agent_uid = $1 and seq < 0', [agentUid])
  expect(await findings(kit, agent)).toMatchObject([
    { code: 'dangling_call', details: { seq: 3, callIds } },
    { code: 'orphan_result', details: { seq: 2, callIds } },
  ])
})

test('the window holds what is kept of its beginning, too', async () => {
  const { agent, agentUid } = await worked(kit, 'kept')
  await kit.sql(
    `update baton.agents a set window_from = 5, settings = jsonb_set(settings, '{window,keepFirst}', '4'),
      window_tokens = (select sum(m.est_tokens) from baton.messages m where m.agent_uid = a.agent_uid and m.seq >= 5) where agent_uid = $1`,
    [agentUid],
  )
  expect(await findings(kit, agent)).toMatchObject([{ code: 'counter_differs', details: { counter: 'window_tokens' } }])
  await repaired(kit, agent)
})

test('events that retention has taken are no gap, none of them or all; where they begin must be told as it is', async () => {
  const { agent, agentUid } = await worked(kit, 'pruned')
  const pruned = (upto: string) =>
    kit.sql(
      `with gone as (delete from baton.events e where e.agent_uid = $1 and e.seq <= ${upto})
        update baton.agents a set first_event_seq = ${upto} + 1 where agent_uid = $1`,
      [agentUid],
    )
  await pruned('2')
  expect(await findings(kit, agent)).toEqual([])
  await kit.sql('update baton.agents set first_event_seq = 1 where agent_uid = $1', [agentUid])
  expect(await findings(kit, agent)).toMatchObject([
    { code: 'counter_differs', details: { counter: 'first_event_seq', is: 1, shouldBe: 3 } },
  ])
  await repaired(kit, agent)
  await pruned('(select x.last_event_seq from baton.agents x where x.agent_uid = $1)')
  expect(await findings(kit, agent)).toEqual([])
})

test('what is made anew for an agent of a user is the user’s to see, and an event stands at the time of the one before it', async () => {
  const { agent, agentUid } = await worked(kit, 'of-a-user')
  const owner = ids.uuid()
  await kit.sql('update baton.agents set owner_id = $2 where agent_uid = $1', [agentUid, owner])
  await kit.sql('delete from baton.messages where agent_uid = $1 and seq = 4', [agentUid])
  await kit.sql('delete from baton.events where agent_uid = $1 and seq = 2', [agentUid])
  await kit.sql(`update baton.events set at = '2020-02-02T00:00:00Z' where agent_uid = $1 and seq = 1`, [agentUid])
  await repaired(kit, agent)
  expect(await kit.sql('select owner_id from baton.messages where agent_uid = $1 and seq = 4', [agentUid])).toEqual([{ owner_id: owner }])
  expect(await kit.sql('select owner_id, type, at from baton.events where agent_uid = $1 and seq = 2', [agentUid])).toEqual([
    { owner_id: owner, type: 'repaired', at: new Date('2020-02-02T00:00:00Z') },
  ])
})
