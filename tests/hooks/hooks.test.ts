import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ToolCall } from '#lib/core/run'
import { poll } from '#local/poll'
import { hooksFile } from '#local/scripted/hooked'
import { script, startWorld, type Answer, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

type CallRecord = ToolCall & { auditTrail: { state: string; note?: string }[] }

const play = (agent: string, ...answers: Answer[]): Promise<Reply> => world.send(agent, script(...answers), { template: 'hooked' })
const callsOf = async (agent: string): Promise<CallRecord[]> =>
  (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as CallRecord[]
const effectsOf = async (reply: Reply): Promise<string[]> =>
  (await world.effects({ runId: String(reply.body['runId']) })).flatMap((line) => (line.kind === 'tool' ? [String(line.name)] : []))
const looksAt = async (callId: string): Promise<{ attempt: number; pid: number }[]> =>
  (await readFile(join(world.dataDir, hooksFile), 'utf8'))
    .split('\n')
    .filter((line) => line.includes(callId))
    .map((line) => JSON.parse(line) as { attempt: number; pid: number })

test('A29: preToolUse denies with its reason, a hook result is used without execution, postToolUse replaces what is stored', async () => {
  const tools = [
    { name: 'charge', input: { key: '/etc/blocked', cents: 1 } },
    { name: 'count', input: { key: 'cached' } },
    { name: 'echo', input: { value: 'replace-me' } },
    { name: 'echo', input: { value: 'change-me' } },
    { name: 'echo', input: { value: 'plain' } },
  ]
  const reply = await play('a29', { tools }, { text: 'went on' })
  expect(reply.body).toMatchObject({ status: 'done', output: 'went on' })
  expect((await effectsOf(reply)).toSorted()).toEqual(['echo', 'echo', 'echo'])
  const calls = await callsOf('a29')
  expect(calls).toMatchObject([
    {
      name: 'charge',
      state: 'denied',
      output: { type: 'error-json', value: { ok: false, errorType: 'denied', message: 'the path is blocked' } },
    },
    { name: 'count', state: 'completed', output: { type: 'json', value: { from: 'the cache' } } },
    { name: 'echo', state: 'completed', output: { type: 'json', value: { replaced: true } } },
    { name: 'echo', state: 'completed', output: { type: 'text', value: 'changed' } },
    { name: 'echo', state: 'completed', output: { type: 'text', value: 'plain' } },
  ])
  expect(calls.map((call) => call.auditTrail.at(-1)?.note)).toEqual([
    'the path is blocked',
    expect.stringContaining('hook cache gave the result'),
    expect.stringContaining('hook mask replaced the output'),
    expect.stringContaining('hook cache changed the arguments'),
    undefined,
  ])
  const events = await world.events('a29')
  for (const { callId } of calls) {
    const of = (event: Record<string, unknown>): unknown => event['callId'] ?? (event['call'] as CallRecord | undefined)?.callId
    expect(events.filter((event) => event.type.startsWith('tool_') && of(event) === callId).map(({ type }) => type)).toEqual([
      'tool_start',
      'tool_end',
    ])
  }
  const results = (await world.messages('a29')).find(({ role }) => role === 'tool')?.content as { output: unknown }[]
  expect(results.map(({ output }) => output)).toEqual(calls.map(({ output }) => output))
  expect(JSON.stringify(results)).not.toContain('replace-me')
  const audit = await world.sql(
    `select decision, reason, call_id from baton.audit where agent_id = 'a29' and action = 'tool.call' and code = 'hook' order by id`,
  )
  expect(audit).toMatchObject([
    { decision: 'refused', reason: 'the path is blocked', call_id: calls[0]?.callId },
    { decision: 'recorded', call_id: calls[1]?.callId },
  ])
})

test('A19, A29: a denied once call has one start, one end and no effect', async () => {
  const reply = await play('once', { tools: [{ name: 'charge', input: { key: 'blocked-once', cents: 5 } }] }, { text: 'ok' })
  expect(reply.body).toMatchObject({ status: 'done' })
  expect(await world.effects({ key: 'blocked-once' })).toEqual([])
  expect(await callsOf('once')).toMatchObject([{ state: 'denied', attempts: 1, effect: 'once' }])
})

test('a preToolUse hook that throws, hangs or answers nonsense denies the call', async () => {
  const tools = ['hook-throws', 'hook-waits', 'hook-nonsense'].map((key) => ({ name: 'charge', input: { key, cents: 1 } }))
  const reply = await play('closed', { tools }, { text: 'ok' })
  expect(reply.body).toMatchObject({ status: 'done' })
  expect(await effectsOf(reply)).toEqual([])
  const calls = await callsOf('closed')
  expect(calls.map(({ state }) => state)).toEqual(['denied', 'denied', 'denied'])
  const reasons = calls.map((call) => call.auditTrail.at(-1)?.note)
  expect(reasons[0]).toContain('the hook broke')
  expect(reasons[1]).toContain('did not answer within 2000 ms')
  expect(reasons[2]).toContain('what the tool does not take')
})

test('a postToolUse or postModel hook that throws leaves what it was asked about, and an event tells of it', async () => {
  const reply = await play('open', { tools: [{ name: 'echo', input: { value: 'post-throws' } }] }, { text: 'answer-throws' })
  expect(reply.body).toMatchObject({ status: 'done', output: 'answer-throws' })
  expect(await callsOf('open')).toMatchObject([{ state: 'completed', output: { value: 'post-throws' } }])
  const failed = (await world.events('open')).filter(({ type }) => type === 'hook_failed')
  expect(failed).toMatchObject([
    { channel: 'monitor', hook: 'mask', stage: 'postToolUse', message: 'the hook broke afterwards' },
    { channel: 'monitor', hook: 'talk', stage: 'postModel', message: 'the hook broke after the model' },
  ])
})

test('preModel stops the run before the model is asked, and its throw ends the run as hook_failed', async () => {
  const stopped = await world.send('stopped', 'please model-stop now', { template: 'hooked' })
  expect(stopped).toMatchObject({ status: 422, body: { code: 'hook_stopped', detail: 'the conversation may not go on', costMicros: 0 } })
  const failed = await world.send('failed', 'model-throws', { template: 'hooked' })
  expect(failed).toMatchObject({ status: 500, body: { code: 'hook_failed', retryable: false } })
  expect(failed.body['detail']).toContain('the hook broke before the model')
  for (const reply of [stopped, failed]) expect(await world.effects({ runId: String(reply.body['runId']) })).toEqual([])
})

test('preModel that makes the request larger has more reserved before the call, and nothing stays reserved', async () => {
  const reply = await world.send('longer', 'model-longer', { template: 'hooked' })
  expect(reply.body).toMatchObject({ status: 'done' })
  const rows = await world.sql<{ state: string; micros: string; cost: string }>(
    'select state, micros, cost_micros as cost from baton.reservations where run_id = $1 order by created_at, id',
    [reply.body['runId']],
  )
  expect(rows).toHaveLength(2)
  expect(rows[0]).toMatchObject({ state: 'settled', cost: '0' })
  expect(rows[1]?.state).toBe('settled')
  expect(Number(rows[1]?.cost)).toBeGreaterThan(0)
  expect(Number(rows[1]?.cost)).toBeLessThanOrEqual(Number(rows[1]?.micros))
  expect(reply.body['costMicros']).toBe(Number(rows[1]?.cost))
})

test('postModel replaces the text: what was shown live is taken back, the stored text wins everywhere', async () => {
  const body = JSON.stringify({ template: 'hooked', message: script({ chunks: ['the ', 'secret-word ', 'is out'], chunkDelayMs: 100 }) })
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
  const frames = await world.stream('/api/agents/replaced/messages', init)
  const types = frames.map(({ event }) => event)
  expect(types).toContain('step_reset')
  const shown = frames.slice(types.lastIndexOf('step_reset')).filter(({ event }) => event === 'text_delta')
  expect(shown.map(({ data }) => data['text']).join('')).toBe('the [removed] is out')
  expect(frames.find(({ event }) => event === 'text_end')?.data).toMatchObject({ text: 'the [removed] is out' })
  expect(frames.at(-1)).toMatchObject({ event: 'done', data: { output: 'the [removed] is out' } })
  expect(JSON.stringify((await world.messages('replaced')).filter(({ role }) => role === 'assistant'))).not.toContain('secret-word')
})

test('invariant 4: killed in a hook, a pure call is asked again and runs; a once call is never executed', async () => {
  const wait = async (agent: string, name: string, input: unknown): Promise<{ runId: string; callId: string }> => {
    const sent = await world.send(agent, script({ tools: [{ name, input }] }, { text: 'after' }), {
      template: 'hooked',
      prefer: 'respond-async',
    })
    const looked = await poll(async () => (await callsOf(agent).catch(() => []))[0]?.state === 'executing', { everyMs: 20, forMs: 60_000 })
    expect(looked).toBe(true)
    const [call] = await callsOf(agent)
    expect(await poll(async () => (await looksAt(String(call?.callId)).catch(() => [])).length === 1, { everyMs: 10, forMs: 60_000 })).toBe(
      true,
    )
    return { runId: String(sent.body['runId']), callId: String(call?.callId) }
  }
  const [pure, once] = await Promise.all([
    wait('killed-pure', 'echo', { value: 'hook-holds' }),
    wait('killed-once', 'charge', { key: 'hook-holds-once', cents: 1 }),
  ])
  await world.stack.kill('server-0')
  for (const { runId } of [pure, once]) expect(await world.ended(runId, 60_000)).toMatchObject({ state: 'completed', output: 'after' })
  expect((await looksAt(pure.callId)).map(({ attempt }) => attempt)).toEqual([1, 2])
  expect(await callsOf('killed-pure')).toMatchObject([{ state: 'completed', output: { value: 'hook-holds' }, attempts: 2 }])
  expect(await callsOf('killed-once')).toMatchObject([{ state: 'sealed', attempts: 1 }])
  expect(await looksAt(once.callId)).toHaveLength(1)
  expect(await world.effects({ key: 'hook-holds-once' })).toEqual([])
})
