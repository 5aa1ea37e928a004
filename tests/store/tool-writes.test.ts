import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolContext } from '#lib/core/define'
import { ProviderError } from '#lib/core/errors'
import { startExecutor } from '#tests/store/engine-kit'
import { authority, ok, startStore, type StoreKit } from '#tests/store/kit'

/* What tools write beside their result, and what their schemas cost, on the real store. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

let act: (context: ToolContext) => unknown = () => 'done'
const first = defineTool({
  name: 'first',
  description: '',
  input: z.object({}),
  effect: 'idempotent',
  run: (_input, context) => act(context),
})
const pay = defineTool({ ...first, name: 'pay', effect: 'once' })
const agent = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.', tools: [first, pay] })
const calling = (...names: string[]) => [{ tools: names.map((name) => ({ name })) }, { text: 'bye' }]

const stateOf = (name: string) =>
  kit.sql<{ key: string; value: unknown }>(
    'select s.key, s.value from baton.agent_state s join baton.agents a using (agent_uid) where a.id = $1 order by s.key',
    [name],
  )
const callsOf = async (name: string) => {
  const { agentUid } = ok(await kit.store.getAgent(authority, name)).agent
  return (await kit.store.listToolCalls({ agentUid, limit: 10, after: null })).data
}

test('a value that is taken away is gone in the next run too, and comes back when it is set again', async () => {
  const play = async (does: typeof act): Promise<void> => {
    act = does
    expect(await startExecutor(kit, agent, calling('first')).send('drafts')).toMatchObject({ kind: 'ended', output: 'bye' })
  }
  await play(({ state }) => {
    state.set('draft', 'text')
    state.set('kept', null)
  })
  await play(({ state }) => state.set('draft', undefined))
  expect(await stateOf('drafts')).toEqual([{ key: 'kept', value: null }])
  let seen: unknown
  await play(({ state }) => {
    seen = [state.get('draft'), state.get('kept')]
    state.set('draft', 'again')
  })
  expect(seen).toEqual([undefined, null])
  expect(await stateOf('drafts')).toEqual([
    { key: 'draft', value: 'again' },
    { key: 'kept', value: null },
  ])
})

test('each agent has its own values, also under keys that another uses: what one takes away stays in the other', async () => {
  const play = async (name: string, does: typeof act): Promise<void> => {
    act = does
    expect(await startExecutor(kit, agent, calling('first')).send(name)).toMatchObject({ kind: 'ended', output: 'bye' })
  }
  await play('left', ({ state }) => {
    state.set('both', 'left')
    state.set('mine', 'left')
  })
  await play('right', ({ state }) => state.set('both', 'right'))
  let seen: unknown
  await play('right', ({ state }) => {
    seen = [state.get('both'), state.get('mine')]
    state.set('both', undefined)
  })
  expect(seen).toEqual(['right', undefined])
  expect(await stateOf('right')).toEqual([])
  expect(await stateOf('left')).toEqual([
    { key: 'both', value: 'left' },
    { key: 'mine', value: 'left' },
  ])
})

test('a value that no JSON is fails its call alone, which runs once', async () => {
  let runs = 0
  act = ({ state }) => {
    runs += 1
    state.set('big', 5n)
  }
  expect(await startExecutor(kit, agent, calling('first')).send('bigint')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(runs).toBe(1)
  expect(await callsOf('bigint')).toMatchObject([{ state: 'failed', output: { value: { errorType: 'tool_error' } } }])
  expect(await stateOf('bigint')).toEqual([])
})

test('a once tool whose result holds a bigint is recorded as done, with what it has set', async () => {
  act = ({ state }) => {
    state.set('refunded', 'order-1')
    return { paid: 5, id: 123n }
  }
  expect(await startExecutor(kit, agent, calling('pay')).send('refund')).toMatchObject({ kind: 'ended', output: 'bye' })
  expect(await callsOf('refund')).toMatchObject([{ state: 'completed', output: { type: 'json', value: { paid: 5, id: '123' } } }])
  expect(await stateOf('refund')).toEqual([{ key: 'refunded', value: 'order-1' }])
})

test('a key that the store takes for none is the error of its call, and the run goes on', async () => {
  for (const [index, key] of ['', 'k'.repeat(129), 'k\u0000'].entries()) {
    act = ({ state }) => state.set(key, 1)
    expect(await startExecutor(kit, agent, calling('pay')).send(`key-${index}`)).toMatchObject({ kind: 'ended', output: 'bye' })
    expect(await callsOf(`key-${index}`)).toMatchObject([{ state: 'failed' }])
  }
  act = ({ state }) => state.set('😀'.repeat(128), 1)
  await startExecutor(kit, agent, calling('pay')).send('longest')
  expect(await stateOf('longest')).toEqual([{ key: '😀'.repeat(128), value: 1 }])
})

test('a fault in this process is no reply that was lost: it is not asked again', async () => {
  let commits = 0
  const commit = (): never => {
    commits += 1
    throw new TypeError('Do not know how to serialize a BigInt')
  }
  act = () => 'done'
  const executor = startExecutor(kit, agent, calling('first'), { store: { commit } })
  expect(await executor.send('fault')).toEqual({ kind: 'lease_lost' })
  expect(commits).toBe(1)
})

test('a call for which the provider was never asked is free, and is not made again', async () => {
  let asked = 0
  const call = (): Promise<never> => {
    asked += 1
    return Promise.reject(new ProviderError('bad_request', 'test/model was not asked: tool x', { unsent: true }))
  }
  const executor = startExecutor(kit, agent, [], { model: { call } })
  expect(await executor.send('unsent')).toMatchObject({ kind: 'ended', stopReason: 'bad_request' })
  expect(asked).toBe(1)
  expect(await kit.store.listRuns(authority, { agent: 'unsent', limit: 1, after: null })).toMatchObject({
    data: [{ agentId: 'unsent', state: 'failed', costMicros: 0 }],
  })
})
