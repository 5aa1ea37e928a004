import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import { BatonError } from '#lib/core/errors'
import { startExecutor } from '#tests/store/engine-kit'
import {
  answered,
  authority,
  beside,
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
  startStore,
  take,
  toolCall,
  type StoreKit,
} from '#tests/store/kit'

/* Calls of which an earlier attempt, given up by its caller, arrives late: behind its own repeat, and behind what came after that. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const rolesOf = async (agentUid: string) => (await kit.store.listMessages({ agentUid, limit: 20 })).data.map(({ role }) => role)
const uidOf = async (agent: string) => ok(await kit.store.getAgent(authority, agent)).agent.agentUid

test('invariant 3: a commit that arrives again behind the next one changes nothing', async () => {
  const held = await hold(kit, 'late-commit')
  const call = toolCall(0)
  const content = [{ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }]
  const happened = { messages: [message('assistant', content)], calls: [call], count: { step: 1, steps: 1, modelCalls: 1 } }
  const first = { ...commitOf(held, happened, { start: [call.callId] }), after: null }
  const answer = ok(await kit.store.commit(first))
  expect(ok(await kit.store.commit(first))).toMatchObject({ firstSeq: answer.firstSeq, lastSeq: answer.lastSeq })
  const outcome = { calls: [{ ...call, state: 'completed' as const, output: { type: 'json' as const, value: 1 } }] }
  ok(await kit.store.commit({ ...commitOf(held, outcome), after: first.commitId }))
  expect(await kit.store.commit(first)).toMatchObject({ ok: false, code: 'lease_lost' })
  expect(await rolesOf(held.agentUid)).toEqual(['user', 'assistant', 'tool'])
  expect(ok(await kit.store.getRun(authority, held.runId)).run).toMatchObject({ modelCalls: 1 })
})

const tool = (name: string, effect: 'pure' | 'once') =>
  defineTool({ name, description: name, input: z.object({}), effect, run: () => 'done' })
const plain = defineAgent({ id: 'plain', model: 'test/model', instructions: 'Answer.', tools: [tool('first', 'pure')] })

test('invariant 3: an executor names the commit that its next one follows, and its lost attempt is not applied behind it', async () => {
  const late: (() => Promise<unknown>)[] = []
  const answers: unknown[] = []
  let commits = 0
  const executor = startExecutor(kit, plain, [{ tools: [{ name: 'first' }] }, { text: 'bye' }], {
    store: {
      async commit(request) {
        commits++
        if (commits === 1) {
          late.push(() => kit.store.commit(structuredClone(request)))
          throw new BatonError('database_unavailable', 'no answer within 8 s')
        }
        const answer = await kit.store.commit(request)
        if (commits === 3) answers.push(await late[0]?.())
        return answer
      },
    },
  })
  // The second slice begins where the first has committed.
  expect(await executor.send('overtaken')).toMatchObject({ kind: 'ended', state: 'completed' })
  expect(answers).toMatchObject([{ ok: false, code: 'lease_lost' }])
  expect(await rolesOf(await uidOf('overtaken'))).toEqual(['user', 'assistant', 'tool', 'assistant'])
  expect(await startExecutor(kit, plain, [{ text: 'again' }]).send('overtaken')).toMatchObject({ kind: 'ended', state: 'completed' })
})

test('invariant 2: a claim that arrives again when its slice is over takes the lease for nobody', async () => {
  const opened = ok(await kit.store.open(openRequest('late-claim')))
  const requests = [claimRequest(opened.agentUid), claimRequest(opened.agentUid)]
  for (const request of requests) {
    const { epoch } = ok(await kit.store.claim(request)).opened.lease
    const held = { ...opened, runId: opened.run.id, sliceId: request.sliceId, epoch, answer: opened }
    await commit(kit, held, { count: { step: 1 } }, { release: 'slice_deadline' })
  }
  for (const request of requests) expect(await kit.store.claim(request)).toMatchObject({ ok: false, code: 'lease_lost' })
  expect(await take(kit, opened.agentUid)).toMatchObject({ runId: opened.run.id })
})

test('A7: an open that arrives again when its agent is deleted makes nothing, with a key and without', async () => {
  for (const [agent, idempotency] of [['deleted', null] as const, ['deleted-with-key', { key: 'deleted', hash: 'h' }] as const]) {
    const request = openRequest(agent, { execute: execution(), idempotency })
    ok(await kit.store.open(request))
    ok(await kit.store.deleteAgent(authority, agent))
    expect(await kit.store.open(request)).toMatchObject({ ok: false, code: 'agent_not_found' })
    expect(await kit.store.getAgent(authority, agent)).toMatchObject({ ok: false, code: 'agent_not_found' })
    // Nor does it enter the conversation that has the name now.
    const anew = await hold(kit, agent)
    expect(await kit.store.open(request)).toMatchObject({ ok: false, code: 'agent_not_found' })
    expect(await commit(kit, anew, answered(), completed)).toMatchObject({ state: 'completed' })
    expect(await rolesOf(anew.agentUid)).toEqual(['user', 'assistant'])
  }
})

test('A7: a steered message that arrives again when its agent is deleted makes nothing', async () => {
  await hold(kit, 'steered')
  const request = openRequest('steered', { onBusy: 'steer' })
  ok(await kit.store.open(request))
  ok(await kit.store.deleteAgent(authority, 'steered'))
  expect(await kit.store.open(request)).toMatchObject({ ok: false, code: 'agent_not_found' })
  expect(await kit.store.getAgent(authority, 'steered')).toMatchObject({ ok: false, code: 'agent_not_found' })
})

test('a key that is asked for again while the first call is still under way is the same key', async () => {
  const key = { id: ids.make('key'), hash: 'a'.repeat(64), prefix: 'bt_', name: 'twin', scopes: ['agents:read' as const], expiresAt: null }
  const answer = await beside(kit, 'create_key', { ...authority, ...key }, () => kit.store.createKey(authority, key))
  expect(answer).toMatchObject({ ok: true, key: { id: key.id } })
})

test('a tenant whose deletion got no answer is told as deleted when its key asks again, and to nobody else', async () => {
  const hash = 'b'.repeat(64)
  const key = { id: ids.make('key'), hash, prefix: 'bt_', name: 'n' }
  await kit.store.bootstrap({ tenant: 'gone', environment: 'test', secret: 'sealed', key, anew: false, newSecret: false })
  const of = { environment: 'test', credential: { keyHash: hash }, requestId: null }
  const erase = (confirm: string, over = {}) => kit.store.erase({ ...of, ...over }, { scope: 'tenant', confirm })
  expect(await erase('gone')).toMatchObject({ ok: true, more: false })
  expect(await erase('gone')).toMatchObject({ ok: true, more: false, agents: 0 })
  expect(await erase('one')).toMatchObject({ ok: false, code: 'unauthorized' })
  expect(await erase('gone', { environment: 'elsewhere' })).toMatchObject({ ok: false, code: 'unauthorized' })
  expect(await erase('gone', { credential: { keyHash: 'c'.repeat(64) } })).toMatchObject({ ok: false, code: 'unauthorized' })
  expect(await kit.store.getKey(of, key.id)).toMatchObject({ ok: false, code: 'unauthorized' })
  const [audit] = await kit.sql<{ n: number }>(
    `select count(*)::int as n from baton.audit where tenant_id = 'gone' and action = 'tenant.delete'`,
  )
  expect(audit).toEqual({ n: 1 })
  // What tells it goes with the keys of requests.
  await kit.advance(25 * 3_600_000)
  ok(await kit.store.prune({ environment: 'test', limit: 1_000 }))
  expect(await erase('gone')).toMatchObject({ ok: false, code: 'unauthorized' })
})

test('what is taken out of alwaysAllowed asks again, also in the slice at work', async () => {
  const asking = defineAgent({ ...plain, tools: [tool('risky', 'once')], permission: { mode: 'approval' } })
  const script = [{ tools: [{ name: 'risky' }] }, { tools: [{ name: 'risky' }] }, { text: 'bye' }]
  await startExecutor(kit, asking, script).send('always')
  const [approval] = ok(await kit.store.listApprovals(authority, { limit: 1, after: null, agent: 'always' })).data
  ok(await kit.store.decide(authority, { approvalId: approval?.id ?? '', decision: 'allow', always: true }))
  const { model } = startExecutor(kit, asking, script).services
  let calls = 0
  const executor = startExecutor(kit, asking, [], {
    model: {
      async call(...asked) {
        calls++
        if (calls === 2) ok(await kit.store.patchAgent(authority, 'always', { alwaysAllowed: [] }))
        return model.call(...asked)
      },
    },
  })
  expect(await executor.goOn(await uidOf('always'))).toMatchObject({ kind: 'paused' })
  // Decided and lifted, each once; the third one waits.
  expect(executor.effects.filter((effect) => effect === 'risky')).toHaveLength(2)
})
