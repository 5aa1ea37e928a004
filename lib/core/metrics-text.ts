import { metricTable, type Labels, type MetricDefinition, type Sample } from '#lib/core/metrics'

/** A series with its parts by name; a counter or gauge has one, the empty one. */
interface Series {
  labels: Labels
  parts: Map<string, number>
}

/** The series of each metric, in the order of the table; what the table does not know (of a newer build) is left out. */
function seriesOf(samples: readonly Sample[]): Map<string, Series[]> {
  const byName = new Map<string, Map<string, Series>>()
  for (const name of Object.keys(metricTable)) byName.set(name, new Map())
  for (const [name, labels, part, value] of samples) {
    const known = byName.get(name)
    if (known === undefined) continue
    const key = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const series = known.get(key) ?? { labels, parts: new Map() }
    series.parts.set(part, value)
    known.set(key, series)
  }
  return new Map([...byName].map(([name, series]) => [name, [...series].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)]))
}

/** How many values of a series stand in the buckets up to each bound, +Inf last. */
function cumulative(bounds: readonly string[], parts: Series['parts']): [bound: string, count: number][] {
  let count = 0
  return [...bounds, '+Inf'].map((bound) => [bound, (count += parts.get(bound) ?? 0)])
}

/**
 * Prometheus's text format 0.0.4. A counter without labels that nobody has counted yet is told as 0, and so are the `zeros` of one with labels, so that
 * rates have a beginning; unless the samples are only a part of all (`partial`): there a 0 would look as if the counter had begun anew.
 */
export function prometheusText(samples: readonly Sample[], { partial = false } = {}): string {
  const lines: string[] = []
  for (const [name, series] of seriesOf(samples)) {
    const definition: MetricDefinition = metricTable[name as keyof typeof metricTable]
    const { type, help, bounds = [] } = definition
    const shown = partial ? series : [...series, ...missingZeros(definition, series)]
    if (shown.length === 0) continue
    lines.push(`# HELP ${name} ${help.replaceAll('\\', '\\\\')}`, `# TYPE ${name} ${type}`)
    for (const { labels, parts } of shown) {
      if (type !== 'histogram') {
        lines.push(`${name}${labelText(labels)} ${number(parts.get('') ?? 0)}`)
        continue
      }
      const buckets = cumulative(bounds, parts)
      for (const [le, count] of buckets) lines.push(`${name}_bucket${labelText({ ...labels, le })} ${number(count)}`)
      lines.push(`${name}_sum${labelText(labels)} ${number(parts.get('sum') ?? 0)}`)
      lines.push(`${name}_count${labelText(labels)} ${number(buckets.at(-1)?.[1] ?? 0)}`)
    }
  }
  return `${lines.join('\n')}\n`
}

/** What is told as 0 because nobody has counted it yet. */
function missingZeros({ type, labels, zeros = [] }: MetricDefinition, series: readonly Series[]): Series[] {
  if (type === 'gauge') return []
  const told = new Set(series.map((one) => labelText(inOrder(labels, one.labels))))
  const due = labels.length === 0 ? [{}] : zeros
  return due.filter((zero) => !told.has(labelText(inOrder(labels, zero)))).map((zero) => ({ labels: zero, parts: new Map() }))
}

function inOrder(names: readonly string[], labels: Labels): Labels {
  return Object.fromEntries(names.map((name) => [name, labels[name] ?? '']))
}

function labelText(labels: Labels): string {
  const entries = Object.entries(labels)
  if (entries.length === 0) return ''
  return `{${entries.map(([name, value]) => `${name}="${escaped(String(value))}"`).join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function number(value: number): string {
  return Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf'
}

/** One histogram in figures, seconds. `min` and `max` are exact; the percentiles are read off the buckets, as Prometheus does. */
export interface Performance {
  labels: Labels
  count: number
  min: number
  avg: number
  p50: number
  p95: number
  p99: number
  max: number
}

/** What /api/metrics.json tells: counters and gauges as they stand, histograms in figures. */
export interface MetricsSummary {
  operations: Record<string, { labels: Labels; value: number }[]>
  performance: Record<string, Performance[]>
  storage: Record<string, { bytes: number; rows: number; operations: Record<string, number> }>
}

/** The same samples in figures for people and scripts that have no Prometheus. */
export function metricsSummary(samples: readonly Sample[]): MetricsSummary {
  const summary: MetricsSummary = { operations: {}, performance: {}, storage: {} }
  for (const [name, series] of seriesOf(samples)) {
    const definition: MetricDefinition = metricTable[name as keyof typeof metricTable]
    if (series.length === 0) continue
    if (name.startsWith('baton_table_')) for (const one of series) intoStorage(summary.storage, name, one)
    else if (definition.type === 'histogram') summary.performance[name] = series.map((one) => performanceOf(definition.bounds ?? [], one))
    else summary.operations[name] = series.map(({ labels, parts }) => ({ labels, value: parts.get('') ?? 0 }))
  }
  return summary
}

function intoStorage(storage: MetricsSummary['storage'], name: string, { labels, parts }: Series): void {
  const table = (storage[labels['table'] ?? ''] ??= { bytes: 0, rows: 0, operations: {} })
  const value = parts.get('') ?? 0
  if (name === 'baton_table_bytes') table.bytes = value
  else if (name === 'baton_table_rows') table.rows = value
  else table.operations[labels['operation'] ?? ''] = value
}

function performanceOf(bounds: readonly string[], { labels, parts }: Series): Performance {
  const buckets = cumulative(bounds, parts)
  const count = buckets.at(-1)?.[1] ?? 0
  const [min, max] = [parts.get('min') ?? 0, parts.get('max') ?? 0]
  const at = (quantile: number): number => Math.min(max, Math.max(min, quantileOf(buckets, quantile * count, max)))
  return { labels, count, min, avg: count === 0 ? 0 : (parts.get('sum') ?? 0) / count, p50: at(0.5), p95: at(0.95), p99: at(0.99), max }
}

/** Linear within the bucket in which the rank falls. */
function quantileOf(buckets: readonly [bound: string, count: number][], rank: number, max: number): number {
  let below = 0
  let lower = 0
  for (const [bound, count] of buckets) {
    const upper = bound === '+Inf' ? max : Number(bound)
    if (count >= rank && count > below) return lower + ((upper - lower) * (rank - below)) / (count - below)
    below = count
    lower = upper
  }
  return max
}
