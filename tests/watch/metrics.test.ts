import { afterAll, beforeAll, expect, test } from 'vitest'
import { metricTable } from '#lib/core/metrics'
import { poll } from '#local/poll'
import { scrape } from '#tests/watch/kit'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
})
afterAll(() => world.close())

const wait = { prefer: 'wait=25' }

test('a scrape is what Prometheus reads: every family of the table, with help, type and closed labels', async () => {
  await world.send(
    'first',
    script(
      { tools: [{ name: 'echo', input: { value: 'x' } }], usage: { input: 10, output: 5 } },
      { text: 'done', usage: { input: 20, output: 7 } },
    ),
    wait,
  )
  const response = await fetch(`${world.base()}/api/metrics`)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const { families, samples, text } = await scrape(world)
  const names = Object.keys(metricTable)
  for (const { name, type, help } of families) {
    expect(names, name).toContain(name)
    const definition = metricTable[name as keyof typeof metricTable]
    expect([type, help]).toEqual([definition.type.toUpperCase(), definition.help])
  }
  for (const { name, metrics } of samples) {
    const base = name.replace(/_(bucket|sum|count)$/, '')
    const definition = metricTable[(Object.hasOwn(metricTable, name) ? name : base) as keyof typeof metricTable]
    const labels = [...definition.labels, ...(name.endsWith('_bucket') ? ['le'] : [])]
    for (const { labels: given = {} } of metrics) expect(Object.keys(given).toSorted(), name).toEqual(labels.toSorted())
  }
  expect(text).not.toMatch(/(run|call|slice|res|evt)_[0-9a-f]{8}|[0-9a-f]{8}-[0-9a-f]{4}-/)
  expect(text.endsWith('\n')).toBe(true)
})

test('steps, slices, model calls, tokens by kind, tools with the bounds of the issue', async () => {
  const before = await scrape(world)
  const first = { tools: [{ name: 'wait', input: { ms: 150 } }], usage: { input: 1_000, output: 100 } }
  const reply = await world.send('turn', script(first, { text: 'done', usage: { input: 2_000, output: 200 } }), wait)
  expect(reply.status).toBe(200)
  const after = await scrape(world)
  const more = (name: string, labels?: Record<string, string>): number => after.of(name, labels) - before.of(name, labels)
  const model = { provider: 'local', model: 'scripted' }
  expect({
    calls: more('baton_model_calls_total', { ...model, outcome: 'ok' }),
    seconds: more('baton_model_call_duration_seconds_count', model),
    input: more('baton_model_tokens_total', { ...model, kind: 'input' }),
    output: more('baton_model_tokens_total', { ...model, kind: 'output' }),
    cost: more('baton_model_cost_micros_total', model),
    steps: more('baton_steps_total'),
    slices: more('baton_slices_total', { outcome: 'ended' }),
    runs: more('baton_runs_total', { state: 'completed', stop_reason: 'end_turn' }),
    checks: more('baton_budget_checks_total', { outcome: 'granted' }),
    tools: more('baton_tool_calls_total', { tool: 'wait', state: 'completed' }),
    toolSeconds: more('baton_tool_duration_seconds_count', { tool: 'wait' }),
    quick: after.of('baton_tool_duration_seconds_bucket', { tool: 'wait', le: '0.1' }),
  }).toEqual({
    calls: 2,
    seconds: 2,
    input: 3_000,
    output: 300,
    cost: 13_500,
    steps: 2,
    slices: 1,
    runs: 1,
    checks: 2,
    tools: 1,
    toolSeconds: 1,
    quick: 0,
  })
  const buckets = after.samples.filter(({ name }) => name === 'baton_tool_duration_seconds_bucket').flatMap(({ metrics }) => metrics)
  expect(buckets.filter(({ labels }) => labels?.['tool'] === 'wait').map(({ labels }) => labels?.['le'])).toEqual([
    '0.1',
    '0.5',
    '1',
    '2',
    '5',
    '10',
    '30',
    '60',
    '300',
    '+Inf',
  ])
})

test('requests and errors by route, status and code; names that a model or a caller made up are no labels', async () => {
  await world.http('GET', '/api/agents/nobody-at-all')
  await world.http('GET', '/api/made/up/by/a/caller')
  await world.send('inventive', script({ tools: [{ name: 'a-tool-that-is-not', input: {} }] }, { text: 'done' }), wait)
  const { of, text } = await scrape(world)
  expect(of('baton_http_requests_total', { route: '/api/agents/{id}', method: 'GET', status: '404' })).toBeGreaterThan(0)
  // What Inngest calls counts as everything else does: the sweeper has called by now, or does soon.
  const byInngest = async () => (await scrape(world)).of('baton_http_requests_total', { route: '/api/inngest', method: 'POST' })
  expect(await poll(async () => (await byInngest()) > 0, { everyMs: 200, forMs: 60_000 })).toBe(true)
  expect(of('baton_errors_total', { code: 'agent_not_found' })).toBeGreaterThan(0)
  expect(of('baton_http_requests_total', { route: 'none', status: '404' })).toBeGreaterThan(0)
  expect(of('baton_tool_calls_total', { tool: 'none', state: 'failed' })).toBeGreaterThan(0)
  expect(of('baton_http_request_duration_seconds_count', { route: '/api/agents/{id}/messages' })).toBeGreaterThan(0)
  expect(of('baton_store_duration_seconds_count', { call: 'commit' })).toBeGreaterThan(0)
  expect(text).not.toMatch(/nobody-at-all|made\/up|a-tool-that-is-not/)
})

test('what stands in the tables: agents by state, open runs, queues, budgets, bytes per table', async () => {
  await world.http('POST', '/api/agents', { id: 'asks', template: 'scripted', permission: { ask: ['charge'] } })
  await world.send('asks', script({ tools: [{ name: 'charge', input: { key: 'asks', cents: 1 } }] }), wait)
  await world.send('asks', 'waits behind it', { prefer: 'respond-async' })
  const { of } = await scrape(world)
  const [agents] = await world.sql<{ n: string }>('select count(*) as n from baton.agents')
  expect(of('baton_agents')).toBe(Number(agents?.n))
  expect([
    of('baton_agents', { state: 'paused' }),
    of('baton_runs_open', { state: 'awaiting_approval' }),
    of('baton_queue_depth', { queue: 'inbox' }),
  ]).toEqual([1, 1, 1])
  expect(of('baton_budget_utilization_ratio', { scope: 'tenant', period: 'day' })).toBeGreaterThan(0)
  expect(of('baton_table_bytes', { table: 'messages' })).toBeGreaterThan(8_000)
  expect(await poll(async () => (await scrape(world)).of('baton_sweep_age_seconds') < 10, { everyMs: 500, forMs: 60_000 })).toBe(true)
})

test('two servers tell the same totals, and what was committed is counted once though its process is killed', async () => {
  const runs = async (server: number): Promise<number[]> => {
    const { of } = await scrape(world, { server })
    return ['baton_runs_total', 'baton_steps_total', 'baton_model_calls_total', 'baton_tool_calls_total', 'baton_recoveries_total'].map(
      (name) => of(name),
    )
  }
  const before = await runs(0)
  expect(await runs(1)).toEqual(before)
  const steps = Array.from({ length: 4 }, (_, n) => ({ tools: [{ name: 'count', input: { key: `kill-${n}` } }] }))
  const gate = world.gate()
  const reply = await world.send(
    'killed',
    script(...steps, { tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }] }, { text: 'end' }),
    {
      prefer: 'wait=0',
      server: 1,
    },
  )
  const runId = String(reply.body['runId'])
  expect(await poll(async () => (await world.run(runId)).step >= 5, { everyMs: 50, forMs: 60_000 })).toBe(true)
  await Promise.all([world.stack.kill('server-0'), world.stack.kill('server-1')])
  await gate.open()
  await world.stack.waitReady()
  const run = await world.ended(runId, 60_000)
  expect(run).toMatchObject({ state: 'completed', step: 6 })
  const after = await runs(0)
  expect(await runs(1)).toEqual(after)
  const [calls] = await world.sql<{ n: string }>('select count(*) as n from baton.tool_calls where run_id = $1', [runId])
  expect(after.map((value, index) => value - (before[index] ?? 0)).slice(0, 4)).toEqual([1, 6, 6, Number(calls?.n)])
  expect((after[4] ?? 0) - (before[4] ?? 0)).toBeGreaterThanOrEqual(1)
})

test('folding changes nothing that is told, and leaves the table of what is not folded empty', async () => {
  const told = async (): Promise<number[]> => {
    const { of } = await scrape(world)
    return [
      of('baton_runs_total'),
      of('baton_steps_total'),
      of('baton_tool_duration_seconds_sum'),
      of('baton_tool_duration_seconds_bucket', { le: '0.1' }),
      of('baton_model_tokens_total'),
    ]
  }
  const before = await told()
  await world.advance(120_000)
  expect(await told()).toEqual(before)
  expect(await told()).toEqual(before)
  const old = await world.sql(`select 1 from baton.metric_deltas where at < baton.clock() - interval '1 minute'`)
  expect(old).toEqual([])
  const [rows] = await world.sql<{ n: string }>('select count(*) as n from baton.metric_totals')
  expect(Number(rows?.n)).toBeLessThan(1_000)
})

test('/api/metrics.json tells the same in figures; the customary address is there too', async () => {
  const { body } = await world.http('GET', '/api/metrics.json')
  const { of } = await scrape(world, { path: '/metrics' })
  const { operations, performance, storage, collectedAt } = body as {
    operations: Record<string, { labels: Record<string, string>; value: number }[]>
    performance: Record<string, Record<'count' | 'min' | 'avg' | 'p50' | 'p95' | 'p99' | 'max', number>[]>
    storage: Record<string, { bytes: number; operations: Record<string, number> }>
    collectedAt: string
  }
  expect(operations['baton_steps_total']?.[0]?.value).toBe(of('baton_steps_total'))
  for (const { count, min, avg, p50, p95, p99, max } of performance['baton_model_call_duration_seconds'] ?? []) {
    expect(count).toBeGreaterThan(0)
    expect([min, p50, p95, p99, max]).toEqual([min, p50, p95, p99, max].toSorted((a, b) => a - b))
    expect(avg).toBeGreaterThanOrEqual(min)
    expect(avg).toBeLessThanOrEqual(max)
  }
  expect(Object.keys(performance)).toContain('baton_http_request_duration_seconds')
  expect(storage['events']?.bytes).toBeGreaterThan(0)
  expect(storage['events']?.operations).toHaveProperty('insert')
  expect(Date.parse(collectedAt)).not.toBeNaN()
})
