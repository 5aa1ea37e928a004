import { expect, test } from 'vitest'
import type { Sample } from '#lib/core/metrics'
import { prometheusText } from '#lib/core/metrics-text'

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
  // However the database has ordered the labels.
  const crashed: Sample = ['baton_runs_total', { stop_reason: 'step_crashed', state: 'failed' }, '', 2]
  expect(lines([crashed]).filter((line) => line.startsWith('baton_runs_total'))).toEqual([expect.stringMatching(/ 2$/)])
  expect(lines([failed(3)], true)).toEqual(['baton_webhook_deliveries_total{outcome="failed"} 3', ''])
})

test('a gauge that nothing tells is absent: a 0 would say that all is well', () => {
  expect(lines([]).filter((line) => /^baton_(sweep_age|due_lag|outbox_lag)_seconds/.test(line))).toEqual([])
  expect(lines([])).toContain('baton_steps_total 0')
})
