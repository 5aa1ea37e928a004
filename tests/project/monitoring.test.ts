import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { longBounds, metricTable, type MetricDefinition } from '#lib/core/metrics'

const table: Readonly<Record<string, MetricDefinition>> = metricTable
const dashboard = JSON.parse(readFileSync('docs/monitoring/grafana-dashboard.json', 'utf8')) as {
  panels: { title: string; targets?: { expr: string }[] }[]
}
const rules = readFileSync('docs/monitoring/alerts.yml', 'utf8')
const expressions = [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...rules.split('\n').flatMap((line) => /^ +expr: (.*)$/.exec(line)?.[1] ?? []),
]

/** What an expression names wrongly: metrics that are not, labels that they do not have. */
function faults(expression: string): string[] {
  return [...expression.matchAll(/\b(baton_\w+)(?:\{([^}]*)\})?/g)].flatMap(([, name = '', matchers = '']) => {
    const definition =
      table[name] ??
      (table[name.replace(/_(bucket|sum|count)$/, '')]?.type === 'histogram' ? table[name.replace(/_(bucket|sum|count)$/, '')] : undefined)
    if (definition === undefined || (definition.type === 'histogram' && table[name] !== undefined)) return [`${name} is no series`]
    const labels = [...matchers.matchAll(/(\w+)\s*[=!]/g)].map(([, label]) => label ?? '')
    const grouped = [...expression.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',').map((label) => label.trim()))
    return [...labels, ...grouped]
      .filter((label) => label !== 'le' && !definition.labels.includes(label))
      .map((label) => `${name} has no label ${label}`)
  })
}

describe('what watches Baton from outside', () => {
  test('names only metrics and labels that exist', () => {
    expect(expressions.length).toBeGreaterThan(35)
    expect(expressions.flatMap(faults)).toEqual([])
    expect(faults('rate(baton_steps_totals[5m])')).toEqual(['baton_steps_totals is no series'])
    expect(faults('sum by (agent) (baton_agents{kind="x"})')).toEqual(['baton_agents has no label kind', 'baton_agents has no label agent'])
    expect(faults('baton_tool_duration_seconds')).toHaveLength(1)
  })

  test('every alert says what is wrong and what to do', () => {
    const alerts = rules.split(/- alert: /).slice(1)
    expect(alerts.length).toBeGreaterThan(10)
    for (const alert of alerts) expect(alert).toMatch(/^Baton\w+\n[\s\S]*expr: [\s\S]*summary: .{10}[\s\S]*cure: .{10}/)
  })
})

test('no metric has an id as a label, and SQL counts with the bounds and names of the table', () => {
  for (const [name, { labels, type }] of Object.entries(table)) {
    expect(
      labels.filter((label) => /(^|_)(id|agent|run|user|tenant|key)$/.test(label)),
      name,
    ).toEqual([])
    expect(name).toMatch(type === 'counter' ? /_total$/ : /^baton_/)
  }
  const sql = [
    '0003_ends',
    '0005_claim',
    '0006_commit',
    '0007_sweep',
    '0014_webhooks',
    '0017_metrics',
    '0018_health',
    '0012_switches',
    '0027_switching',
  ]
    .map((file) => readFileSync(`supabase/migrations/${file}.sql`, 'utf8'))
    .join('\n')
  expect(sql).toContain(`array[${longBounds.map((bound) => `'${bound}'`).join(', ')}]`)
  const counted = [...sql.matchAll(/['"](baton_[a-z_]+)['"]/g)].map(([, name = '']) => name)
  expect(counted.length).toBeGreaterThan(25)
  expect([...new Set(counted)].filter((name) => table[name] === undefined)).toEqual([])
})
