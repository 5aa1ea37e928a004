import { expect, test } from 'vitest'
import { observation, together, type Labels, type Sample } from '#lib/core/metrics'
import { metricsSummary, prometheusText } from '#lib/core/metrics-text'

const lines = (samples: readonly Sample[], partial = false): string[] =>
  prometheusText(samples, { partial })
    .split('\n')
    .filter((line) => !line.startsWith('#'))

test('what an alert waits for stands as 0 before its first event, once, and never in a part of the samples', () => {
  const failed = (value: number): Sample => ['baton_webhook_deliveries_total', { outcome: 'failed' }, '', value]
  expect(lines([])).toContain('baton_runs_total{state="failed",stop_reason="step_crashed"} 0')
  expect(lines([])).toContain('baton_budget_blocks_total{scope="tenant",reason="micros"} 0')
  expect(lines([]).filter((line) => line.includes('scope="run"'))).toEqual([])
  expect(lines([failed(3)]).filter((line) => line.startsWith('baton_webhook_deliveries_total'))).toEqual([
    'baton_webhook_deliveries_total{outcome="failed"} 3',
  ])
  // The first of one kind takes nothing from the others.
  const blocked = lines([['baton_budget_blocks_total', { scope: 'user', reason: 'micros' }, '', 4]])
  expect(blocked.filter((line) => /_blocks_total{scope="(user|tenant)",reason="micros"}/.test(line))).toEqual([
    'baton_budget_blocks_total{scope="user",reason="micros"} 4',
    'baton_budget_blocks_total{scope="tenant",reason="micros"} 0',
  ])
  // However the database has ordered the labels.
  const crashed: Sample = ['baton_runs_total', { stop_reason: 'step_crashed', state: 'failed' }, '', 2]
  expect(lines([crashed]).filter((line) => line.startsWith('baton_runs_total'))).toEqual([expect.stringMatching(/ 2$/)])
  expect(lines([failed(3)], true)).toEqual(['baton_webhook_deliveries_total{outcome="failed"} 3', ''])
})

test('a gauge that nothing tells is absent: a 0 would say that all is well', () => {
  expect(lines([]).filter((line) => /^baton_(sweep_age|due_lag|outbox_lag)_seconds/.test(line))).toEqual([])
  expect(lines([])).toContain('baton_steps_total 0')
  expect(prometheusText([])).toContain('\nbaton_steps_total 0\n')
})

/** What `count` observations come to in the database, which adds them up by `together`. */
function observed(name: 'baton_tool_duration_seconds', labels: Labels, values: readonly number[]): Sample[] {
  const parts = new Map<string, number>()
  for (const [, , part, value] of values.flatMap((seconds) => observation(name, labels, seconds))) {
    const known = parts.get(part)
    parts.set(part, known === undefined ? value : together(part, known, value))
  }
  return [...parts].map(([part, value]) => [name, labels, part, value])
}
const wait = { tool: 'wait' }
const seconds = [0.1, 0.3, 0.5, 0.6, 4, 400, -1]

test('each value of a histogram stands in the one bucket whose bound it does not pass; less than nothing counts as nothing', () => {
  expect(observation('baton_tool_duration_seconds', wait, 0.5)).toEqual([
    ['baton_tool_duration_seconds', wait, '0.5', 1],
    ['baton_tool_duration_seconds', wait, 'sum', 0.5],
    ['baton_tool_duration_seconds', wait, 'min', 0.5],
    ['baton_tool_duration_seconds', wait, 'max', 0.5],
  ])
  const bucket = (value: number): unknown => observation('baton_tool_duration_seconds', wait, value)[0]?.[2]
  expect([0, 0.1, 0.11, 300, 300.1, -1].map(bucket)).toEqual(['0.1', '0.1', '0.5', '300', '+Inf', '0.1'])
  expect(Object.fromEntries(observed('baton_tool_duration_seconds', wait, seconds).map(([, , part, value]) => [part, value]))).toEqual({
    '0.1': 2,
    '0.5': 2,
    '1': 1,
    '5': 1,
    '+Inf': 1,
    sum: expect.closeTo(405.5),
    min: 0,
    max: 400,
  })
})

test('a histogram as Prometheus reads it: its buckets add up, its count is that of the last, and each series stands once', () => {
  const text = prometheusText(observed('baton_tool_duration_seconds', wait, [0.25, 0.5, 4, 400]), { partial: true })
  const counts = ['0.1 0', '0.5 2', '1 2', '2 2', '5 3', '10 3', '30 3', '60 3', '300 3', '+Inf 4'].map((bucket) => bucket.split(' '))
  expect(text.split('\n')).toEqual([
    '# HELP baton_tool_duration_seconds Seconds of an executed tool call',
    '# TYPE baton_tool_duration_seconds histogram',
    ...counts.map(([le, count]) => `baton_tool_duration_seconds_bucket{tool="wait",le="${le}"} ${count}`),
    'baton_tool_duration_seconds_sum{tool="wait"} 404.75',
    'baton_tool_duration_seconds_count{tool="wait"} 4',
    '',
  ])
})

test('labels are told in one order and escaped; what this build does not know is left out, and no number is told that none can read', () => {
  const ended = (labels: Labels, value: number): Sample => ['baton_runs_total', labels, '', value]
  const samples: Sample[] = [
    ended({ state: 'killed', stop_reason: 'c' }, 9),
    ended({ state: 'z', stop_reason: 'b' }, 3),
    ['baton_of_a_newer_build_total', {}, '', 1],
    ended({ state: 'failed', stop_reason: 'a"\\\n' }, 1),
    ended({ stop_reason: 'b', state: 'z' }, 4),
    ['baton_sweep_age_seconds', {}, '', Number.POSITIVE_INFINITY],
    ['baton_due_lag_seconds', {}, '', Number.NEGATIVE_INFINITY],
  ]
  expect(lines(samples, true)).toEqual([
    'baton_runs_total{state="failed",stop_reason="a\\"\\\\\\n"} 1',
    'baton_runs_total{state="killed",stop_reason="c"} 9',
    'baton_runs_total{state="z",stop_reason="b"} 4',
    'baton_due_lag_seconds -Inf',
    'baton_sweep_age_seconds +Inf',
    '',
  ])
})

test('in figures: counters and gauges as they stand, histograms with their ends and percentiles, tables apart', () => {
  const many = (length: number, value: number): number[] => Array.from({ length }, () => value)
  const table = (name: string, value: number, more: Labels = {}): Sample => [`baton_table_${name}`, { table: 'runs', ...more }, '', value]
  const samples: Sample[] = [
    ['baton_agents', { state: 'ready' }, '', 2],
    table('bytes', 8_192),
    table('rows', 12),
    table('operations_total', 7, { operation: 'insert' }),
    table('operations_total', 3, { operation: 'delete' }),
    ...observed('baton_tool_duration_seconds', { tool: 'one' }, [0.25]),
    ...observed('baton_tool_duration_seconds', wait, [...many(40, 0.75), ...many(50, 1.5), ...many(10, 400)]),
    ...observed('baton_tool_duration_seconds', { tool: 'half' }, [0.75, 400]),
    ['baton_tool_duration_seconds', { tool: 'none' }, 'sum', 0],
  ]
  expect(metricsSummary(samples)).toEqual({
    operations: { baton_agents: [{ labels: { state: 'ready' }, value: 2 }] },
    storage: { runs: { bytes: 8_192, rows: 12, operations: { insert: 7, delete: 3 } } },
    performance: {
      baton_tool_duration_seconds: [
        // The rank of a bucket's last value is its bound, however far the next value is.
        {
          labels: { tool: 'half' },
          count: 2,
          min: 0.75,
          avg: 200.375,
          p50: 1,
          p95: expect.closeTo(390),
          p99: expect.closeTo(398),
          max: 400,
        },
        { labels: { tool: 'none' }, count: 0, min: 0, avg: 0, p50: 0, p95: 0, p99: 0, max: 0 },
        { labels: { tool: 'one' }, count: 1, min: 0.25, avg: 0.25, p50: 0.25, p95: 0.25, p99: 0.25, max: 0.25 },
        {
          labels: wait,
          count: 100,
          min: 0.75,
          avg: 41.05,
          // As far into the bucket as the rank; above all bounds it ends at the longest.
          p50: 1 + 10 / 50,
          p95: 300 + (100 * 5) / 10,
          p99: 300 + (100 * 9) / 10,
          max: 400,
        },
      ],
    },
  })
})
