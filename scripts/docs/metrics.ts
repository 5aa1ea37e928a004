import { metricTable, type MetricDefinition } from '#lib/core/metrics'

const intro = `# Metrics

<!-- Written by \`npm run docs\` from lib/core/metrics.ts: do not edit. -->

What \`/api/metrics\` tells, and \`/api/metrics.json\` in figures ([monitoring](monitoring.md)): all tenants, all processes.
`

/** The text of docs/metrics.md: a line for each metric, in the order of the table. */
export function metricsDoc(): string {
  const rows = Object.entries<MetricDefinition>(metricTable).map(
    ([name, { type, help, labels }]) => `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  )
  return [intro, '| metric | type | labels | what it is |', '|---|---|---|---|', ...rows, ''].join('\n')
}
