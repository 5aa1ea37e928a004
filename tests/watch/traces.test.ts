import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { startReceiver } from '#tests/watch/receiver'
import { script, startWorld, type World } from '#tests/world'

let receiver: Awaited<ReturnType<typeof startReceiver>>
let world: World
let plain: World
beforeAll(async () => {
  receiver = await startReceiver()
  const lines = { BATON_LOG_LINES: 'usage,retry,cache' }
  ;[world, plain] = await Promise.all([
    startWorld({ servers: 2, env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SERVICE_NAME: 'shop', ...lines } }),
    startWorld({ env: { BATON_LOG_LINES: 'none' } }),
  ])
})
afterAll(async () => {
  await Promise.all([world.close(), plain.close()])
  receiver.close()
})

const trace = '0af7651916cd43dd8448eb211c80319c'
const caller = 'b7ad6b7169203331'

/** The JSON lines of a server's log that tell of a run. */
function linesOf(of: World, runId: string): Record<string, unknown>[] {
  return ['server-0', 'server-1'].flatMap((name) => {
    try {
      return readFileSync(join(of.dataDir, 'logs', `${name}.log`), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter((line) => line['run_id'] === runId)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  })
}

test('one trace over all slices of a run, with the conventions for generative AI and no word of the conversation', async () => {
  const steps = Array.from({ length: 3 }, () => ({
    text: 'secret of the model',
    tools: [{ name: 'wait', input: { ms: 250 } }],
    usage: { input: 11, output: 7 },
  }))
  const reply = await world.send('traced', script(...steps, { text: 'the end' }), {
    prefer: 'wait=25',
    limits: { sliceMs: 300 },
    webhook: { url: `${receiver.url}/hook` },
    headers: { traceparent: `00-${trace}-${caller}-01` },
  })
  const runId = String(reply.body['runId'])
  const run = await world.ended(runId)
  expect(run.state).toBe('completed')
  expect(run.slices).toBeGreaterThan(1)
  const own = () => receiver.spans.filter((span) => span.attributes['baton.run.id'] === runId)
  const named = (name: string) => receiver.spans.filter((span) => span.traceId === trace && span.name === name)
  const counts = () => [
    own().length,
    ...['POST /api/agents/{id}/messages', 'chat scripted', 'execute_tool wait'].map((name) => named(name).length),
  ]
  // Each server exports for itself.
  await poll(() => Promise.resolve(String(counts()) === String([run.slices, 1, 4, 3])), { everyMs: 100, forMs: 60_000 })
  expect(counts()).toEqual([run.slices, 1, 4, 3])
  const [root] = named('POST /api/agents/{id}/messages')
  expect(root).toMatchObject({
    parent: caller,
    service: 'shop',
    attributes: { 'http.request.method': 'POST', 'http.response.status_code': 202 },
  })
  expect(own().map(({ traceId, parent, name }) => ({ traceId, parent, name }))).toEqual(
    Array.from({ length: run.slices }, () => ({ traceId: trace, parent: root?.spanId, name: 'invoke_agent scripted' })),
  )
  const slices = new Set(own().map(({ spanId }) => spanId))
  const calls = named('chat scripted')
  const tools = named('execute_tool wait')
  for (const span of [...calls, ...tools]) expect(slices.has(String(span.parent))).toBe(true)
  expect(calls.find(({ attributes }) => attributes['gen_ai.usage.input_tokens'] === 11)?.attributes).toMatchObject({
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'local',
    'gen_ai.request.model': 'scripted',
    'gen_ai.usage.input_tokens': 11,
    'gen_ai.usage.output_tokens': 7,
  })
  expect(tools[0]?.attributes).toMatchObject({
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'wait',
    'gen_ai.tool.type': 'function',
  })
  expect(receiver.raw.join('')).not.toMatch(/secret of the model|the end/)
  // The webhook of the run belongs to the trace, too.
  expect(await poll(() => Promise.resolve(receiver.hooks.length === 1), { everyMs: 100, forMs: 60_000 })).toBe(true)
  const delivery = () => receiver.spans.find((span) => span.name === 'webhook')
  expect(await poll(() => Promise.resolve(delivery() !== undefined), { everyMs: 100, forMs: 60_000 })).toBe(true)
  expect(delivery()).toMatchObject({
    traceId: trace,
    parent: root?.spanId,
    attributes: { 'http.response.status_code': 200, 'baton.attempt': 1 },
  })
  expect(receiver.hooks[0]?.headers['traceparent']).toBe(`00-${trace}-${delivery()?.spanId}-01`)
})

test('log lines are JSON with one name for each thing, and those of model calls can be switched', async () => {
  const answer = { error: { status: 500, times: 1 }, text: 'hello you', usage: { input: 5, output: 2 } }
  const reply = await world.send('logged', script(answer), { prefer: 'wait=25', headers: { 'x-request-id': 'mine-7' } })
  const runId = String(reply.body['runId'])
  await world.ended(runId)
  const found = (message: string) => linesOf(world, runId).find((line) => line['message'] === message)
  expect(await poll(() => Promise.resolve(found('slice') !== undefined), { everyMs: 50, forMs: 60_000 })).toBe(true)
  const about = {
    level: 'info',
    request_id: 'mine-7',
    tenant_id: 'ten_local',
    agent_id: 'logged',
    run_id: runId,
    trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
  }
  expect(found('slice')).toMatchObject({
    ...about,
    outcome: 'ended',
    state: 'completed',
    step: 1,
    duration_ms: expect.any(Number) as number,
  })
  expect(found('usage')).toMatchObject({ ...about, step: 1, model: 'local/scripted', input_tokens: 5, output_tokens: 2 })
  expect(found('cache')).toMatchObject({ ...about, cache_read_tokens: 0 })
  expect(found('a model call failed')).toMatchObject({ ...about, level: 'warn', step: 1, code: 'provider_unavailable' })
  for (const line of linesOf(world, runId)) {
    expect(Object.keys(line).slice(0, 3)).toEqual(['timestamp', 'level', 'message'])
    expect(JSON.stringify(line)).not.toContain('hello you')
  }
})

test('without OTEL_* nothing is recorded or sent, and the trace is carried all the same; a bad traceparent begins a new one', async () => {
  const runs: string[] = []
  const hook = { webhook: { url: `${receiver.url}/plain` }, limits: { sliceMs: 200 } }
  const steps = [{ tools: [{ name: 'wait', input: { ms: 250 } }] }, { text: 'x' }]
  for (const [agent, given, wanted] of [
    ['plain', `00-${trace}-${caller}-01`, trace],
    ['bad', 'not-a-traceparent', null],
  ] as const) {
    const hooks = receiver.hooks.length
    const reply = await plain.send(agent, script(...steps), { prefer: 'wait=25', headers: { traceparent: given }, ...hook })
    const runId = String(reply.body['runId'])
    runs.push(runId)
    expect((await plain.ended(runId)).slices).toBeGreaterThan(1)
    expect(await poll(() => Promise.resolve(receiver.hooks.length > hooks), { everyMs: 100, forMs: 60_000 })).toBe(true)
    const [row] = await plain.sql<{ traceparent: string }>('select traceparent from baton.runs where run_id = $1', [runId])
    expect(row?.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
    if (wanted !== null) expect(row?.traceparent).toBe(given)
    expect(receiver.hooks.at(-1)?.headers['traceparent']).toBe(row?.traceparent)
    // The log comes through a pipe.
    expect(await poll(() => linesOf(plain, runId).length > 0, { everyMs: 50, forMs: 60_000 })).toBe(true)
    const ids = new Set(linesOf(plain, runId).map((line) => line['trace_id']))
    expect([...ids]).toEqual([row?.traceparent.slice(3, 35)])
    expect(linesOf(plain, runId).map((line) => line['message'])).not.toContain('usage')
  }
  expect(receiver.spans.filter((span) => runs.includes(String(span.attributes['baton.run.id'])))).toEqual([])
})
