import { scopeKinds } from '#lib/core/scope'

/** Upper bounds in seconds of what may take long: tools, model calls, runs. The same stand in supabase/migrations/0017_metrics.sql. */
export const longBounds = ['0.1', '0.5', '1', '2', '5', '10', '30', '60', '300'] as const
/** Upper bounds in seconds of what should be quick: requests, calls of the database. */
export const shortBounds = ['0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '10', '30', '60'] as const

/** What a metric is: its kind, what it says, its labels (closed lists, never an id), the bounds of a histogram. */
export interface MetricDefinition {
  type: 'counter' | 'gauge' | 'histogram'
  help: string
  labels: readonly string[]
  bounds?: readonly string[]
  /** Series that are told as 0 before their first event: an alert on a single event sees it only where the 0 was seen before. */
  zeros?: readonly Labels[]
}

const counter = (help: string, ...labels: string[]): MetricDefinition => ({ type: 'counter', help, labels })
const gauge = (help: string, ...labels: string[]): MetricDefinition => ({ type: 'gauge', help, labels })
const histogram = (bounds: readonly string[], help: string, ...labels: string[]): MetricDefinition => ({
  type: 'histogram',
  help,
  labels,
  bounds,
})

/** The kinds of budgets that many runs share, and what may have been too little. */
const budgetBlocks = scopeKinds
  .filter((scope) => scope !== 'run')
  .flatMap((scope) => ['micros', 'tokens', 'calls', 'per_call'].map((reason) => ({ scope, reason })))

/** Every metric of Baton. Those of the database are counted by supabase/migrations/0017_metrics.sql and 0018_health.sql. */
export const metricTable = {
  baton_part_up: gauge('1 while a part answers who asks for the metrics: postgres, redis, inngest', 'part'),
  baton_model_provider_failures: gauge('Calls of a provider that failed in a row, of the last ten minutes', 'provider', 'code'),
  baton_http_requests_total: counter('Requests answered', 'route', 'method', 'status'),
  baton_http_request_duration_seconds: histogram(shortBounds, 'Seconds to the head of the answer; a stream goes on after it', 'route'),
  baton_errors_total: counter('Problems answered', 'code'),
  baton_rate_limit_refusals_total: counter('Requests and tool calls that a rate limit refused', 'limit'),
  baton_store_duration_seconds: histogram(shortBounds, 'Seconds of a call of the database, network included', 'call'),
  baton_store_errors_total: counter('Calls of the database that failed', 'call'),

  baton_agents: gauge('Agents', 'state'),
  baton_runs_open: gauge('Runs that have not ended', 'state'),
  baton_runs_total: {
    ...counter('Runs that have ended', 'state', 'stop_reason'),
    zeros: [{ state: 'failed', stop_reason: 'step_crashed' }],
  },
  baton_run_duration_seconds: histogram(longBounds, 'Seconds from the acceptance of a run to its end, waits included', 'state'),
  baton_run_queue_seconds: histogram(longBounds, 'Seconds from the acceptance of a run to its beginning'),
  baton_steps_total: counter('Steps committed'),
  baton_slices_total: counter('Slices that have ended', 'outcome'),
  baton_hand_offs_total: counter('Slices that handed their run over to another function', 'reason'),
  baton_lease_losses_total: counter('Commits and heartbeats refused because the lease was gone'),
  baton_recoveries_total: counter('Take-overs of runs whose executor has died'),
  baton_recovery_seconds: histogram(longBounds, 'Seconds from the last sign of life of an executor to the take-over of its run'),

  baton_model_calls_total: counter('Model calls', 'provider', 'model', 'outcome'),
  baton_model_call_duration_seconds: histogram(longBounds, 'Seconds of a model call', 'provider', 'model'),
  baton_model_tokens_total: counter('Tokens', 'provider', 'model', 'kind'),
  baton_model_cost_micros_total: counter('Cost in millionths of a dollar', 'provider', 'model'),
  baton_tool_calls_total: counter('Tool calls with a result', 'tool', 'state'),
  baton_tool_duration_seconds: histogram(longBounds, 'Seconds of an executed tool call', 'tool'),

  baton_queue_depth: gauge('Rows that wait', 'queue'),
  baton_outbox_lag_seconds: gauge('Seconds for which the oldest due continuation or webhook has not been sent'),
  baton_due_lag_seconds: gauge('Seconds for which the oldest due run has had no executor'),
  baton_sweep_age_seconds: gauge('Seconds since the clock last swept; absent where this deployment has none'),
  baton_sweeps_total: counter('Sweeps', 'by'),
  baton_sweep_rows_total: counter('Rows that sweeps have sent again'),

  baton_budget_checks_total: counter('Amounts asked of budgets; granted ones count when they are settled', 'outcome'),
  baton_budget_blocks_total: {
    ...counter('Work that a budget had no room for, by the kind of its scope', 'scope', 'reason'),
    zeros: budgetBlocks,
  },
  baton_budget_utilization_ratio: gauge('The fullest budget of a kind, 1 is used up', 'scope', 'period'),
  baton_switches: gauge('Kill and hold switches that are set', 'mode'),
  baton_switches_total: counter('Kill and hold switches that were set, by the kind of their scope', 'mode', 'scope'),
  baton_kill_propagation_seconds: histogram(longBounds, 'Seconds from the setting of a kill to the end of a run'),
  baton_webhook_deliveries_total: { ...counter('Attempts to deliver a webhook', 'outcome'), zeros: [{ outcome: 'failed' }] },
  baton_webhook_duration_seconds: histogram(longBounds, 'Seconds of an attempt to deliver a webhook'),
  baton_webhook_endpoints: gauge('Webhook endpoints: enabled, disabled because they failed, off by their tenant', 'state'),
  baton_audit_failures_total: counter('Audit entries that could not be written'),

  baton_pruned_rows_total: counter('Rows that retention has deleted', 'kind'),
  baton_table_bytes: gauge('Bytes of a table with its indexes', 'table'),
  baton_table_rows: gauge('Rows of a table, as Postgres estimates them', 'table'),
  baton_table_operations_total: counter('Rows written and read, since the statistics of Postgres began', 'table', 'operation'),
} as const satisfies Readonly<Record<string, MetricDefinition>>

/** The name of a metric. */
export type MetricName = keyof typeof metricTable
/** The values of a metric's labels. */
export type Labels = Readonly<Record<string, string>>
/** What is told to the database: name, labels, part (empty, or of a histogram a bound, sum, min or max), value. */
export type Sample = readonly [name: string, labels: Labels, part: string, value: number]

/** One value of a histogram as it is told to the database: every value stands in exactly one bucket. Negative seconds count as none. */
export function observation(name: MetricName, labels: Labels, given: number): Sample[] {
  const definition: MetricDefinition = metricTable[name]
  const seconds = Math.max(0, given)
  const bound = (definition.bounds ?? []).find((upper) => seconds <= Number(upper)) ?? '+Inf'
  return [
    [name, labels, bound, 1],
    [name, labels, 'sum', seconds],
    [name, labels, 'min', seconds],
    [name, labels, 'max', seconds],
  ]
}

/** How two values of the same series and part come together. */
export function together(part: string, a: number, b: number): number {
  return part === 'min' ? Math.min(a, b) : part === 'max' ? Math.max(a, b) : a + b
}
