import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ToolCall } from '#lib/core/run'
import { templateFile } from '#local/scripted/template'
import { fake } from '#tests/fake-provider/script'
import { startFakeProvider, type FakeProvider } from '#tests/fake-provider/server'
import { script, startWorld, type World } from '#tests/world'

let world: World
let provider: FakeProvider
beforeAll(async () => {
  provider = await startFakeProvider()
  world = await startWorld({ real: ['models'], env: { ANTHROPIC_API_KEY: 'a-key', ANTHROPIC_BASE_URL: provider.baseUrl } })
})
afterAll(async () => {
  await world.close()
  await provider.close()
})

type CallRecord = ToolCall & { auditTrail: { state: string; note?: string }[]; isError: boolean; durationMs: number | null }

async function callsOf(agent: string): Promise<CallRecord[]> {
  return (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as CallRecord[]
}

/** The results in the tool message of the history, in its order. */
async function resultsOf(agent: string): Promise<{ toolCallId: string; toolName: string; output: { type: string; value: unknown } }[]> {
  const messages = await world.messages(agent)
  return messages.filter(({ role }) => role === 'tool').flatMap(({ content }) => content as never[])
}

async function eventsOf(agent: string, ...types: string[]): Promise<Record<string, unknown>[]> {
  return (await world.events(agent)).filter(({ type }) => types.includes(type))
}

test('A19: a tool that throws, a denied one, an unknown one and one with bad arguments have one start and one end each, and the run goes on', async () => {
  await world.http('POST', '/api/agents', { id: 'a19', template: 'scripted', permission: { deny: ['count'] } })
  const tools = [
    { name: 'fail', input: { message: 'boom' } },
    { name: 'count', input: { key: 'a19-denied' } },
    { name: 'nowhere', input: { any: 1 } },
    { name: 'charge', input: { key: 'a19', cents: 'many' } },
    { name: 'echo', input: { value: 'fine' } },
  ]
  const reply = await world.send('a19', script({ tools }, { text: 'went on' }))
  expect(reply.body).toMatchObject({ status: 'done', output: 'went on' })
  const starts = await eventsOf('a19', 'tool_start')
  const ends = await eventsOf('a19', 'tool_end')
  const calls = await callsOf('a19')
  for (const call of calls) {
    expect(
      starts.filter(({ callId }) => callId === call.callId),
      call.name,
    ).toHaveLength(1)
    const own = ends.filter((event) => (event['call'] as CallRecord).callId === call.callId)
    expect(own, call.name).toHaveLength(1)
    expect(own[0]?.['call']).toMatchObject({ state: call.state, name: call.name })
  }
  expect(calls.map(({ name, state, isError }) => [name, state, isError])).toEqual([
    ['fail', 'failed', true],
    ['count', 'denied', true],
    ['nowhere', 'failed', true],
    ['charge', 'failed', true],
    ['echo', 'completed', false],
  ])
  const results = await resultsOf('a19')
  expect(results.map(({ toolCallId }) => toolCallId)).toEqual(calls.map(({ callId }) => callId))
  expect(results[0]?.output.value).toMatchObject({ ok: false, errorType: 'tool_error', message: 'boom' })
  expect(results[1]?.output.value).toMatchObject({ ok: false, errorType: 'denied', retryable: false })
  expect(await world.effects({ key: 'a19-denied' })).toEqual([])
})

test('A21: a custom event of a tool is on the monitor channel', async () => {
  await world.send('a21', script({ tools: [{ name: 'emit', input: { type: 'progress', data: { percent: 40 } } }] }, { text: 'ok' }))
  const events = await eventsOf('a21', 'custom')
  expect(events).toMatchObject([{ channel: 'monitor', toolName: 'emit', eventType: 'progress', data: { percent: 40 } }])
})

/** The most calls at work at a time, by the order of the events. */
function mostAtOnce(events: Record<string, unknown>[]): number {
  let now = 0
  let most = 0
  for (const { type } of events) {
    now += type === 'tool_start' ? 1 : -1
    most = Math.max(most, now)
  }
  return most
}

test('A23: five calls of one turn run as many at a time as the template says, and their results are in call order', async () => {
  // The later a call, the sooner it ends.
  const tools = [400, 300, 200, 100, 0].map((ms) => ({ name: 'wait', input: { ms } }))
  const byDefault = await world.send('a23-three', script({ tools }, { text: 'ok' }))
  expect(byDefault.body).toMatchObject({ status: 'done' })
  expect(mostAtOnce(await eventsOf('a23-three', 'tool_start', 'tool_end'))).toBe(3)

  await writeFile(join(world.dataDir, templateFile), JSON.stringify({ toolConcurrency: 2 }))
  await world.stack.restart('server-0')
  await world.send('a23-two', script({ tools }, { text: 'ok' }))
  expect(mostAtOnce(await eventsOf('a23-two', 'tool_start', 'tool_end'))).toBe(2)
  const results = await resultsOf('a23-two')
  expect(results.map(({ output }) => output.value)).toEqual([400, 300, 200, 100, 0].map((waited) => ({ waited })))
  expect(await world.effects({ runId: String(byDefault.body['runId']) })).toHaveLength(7)
})

test('A26: a call with wrong arguments is not executed, and the model is told what is wrong', async () => {
  const reply = await world.send('a26', script({ tools: [{ name: 'charge', input: { key: 'a26', cents: -1 } }] }, { text: 'understood' }))
  expect(reply.body).toMatchObject({ status: 'done', output: 'understood' })
  expect(await world.effects({ key: 'a26' })).toEqual([])
  const [result] = await resultsOf('a26')
  expect(result?.output).toMatchObject({ type: 'error-json', value: { ok: false, errorType: 'validation', retryable: false } })
  const [call] = await callsOf('a26')
  expect(call).toMatchObject({ name: 'charge', state: 'failed', attempts: 0, effect: 'once' })
})

test('A26: the second call of a real provider client sees the validation error', async () => {
  const before = provider.requests.length
  // The fake plays the last script it is shown, so the second call plays it again: one step more is enough to see.
  await world.send('a26-real', fake({ tools: [{ name: 'current_time', input: '[1]' }] }), { template: 'basic', limits: { maxSteps: 2 } })
  const second = JSON.stringify(provider.requests[before + 1]?.body)
  expect(second).toContain('validation')
  expect(second).toContain('tool_result')
})

test('A27: a call of an unknown tool fails with advice, and the run goes on', async () => {
  const reply = await world.send('a27', script({ tools: [{ name: 'teleport', input: {} }] }, { text: 'then not' }))
  expect(reply.body).toMatchObject({ status: 'done', output: 'then not' })
  const [call] = await callsOf('a27')
  expect(call).toMatchObject({ name: 'teleport', state: 'failed', attempts: 0 })
  const [result] = await resultsOf('a27')
  const value = result?.output.value as { errorType: string; advice: string }
  expect(value).toMatchObject({ ok: false, errorType: 'unknown_tool', retryable: false })
  expect(value.advice).toContain('echo')
})
