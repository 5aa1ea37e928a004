import { z } from 'zod'
import { logLines, samplers } from '#lib/core/config'
import { about, longSecret, webUrl } from '#lib/env/about'

const watching = 'Watching (health, metrics, alerts, logs, traces)'

const logKinds = z.string().transform((value, context) => {
  const named = value.split(',').map((kind) => kind.trim())
  if (value.trim() === 'none') return []
  const kinds = logLines.filter((kind) => named.includes(kind))
  if (kinds.length === named.length) return kinds
  context.addIssue({ code: 'custom', message: `must be none, or some of ${logLines.join(', ')} separated by commas` })
  return z.NEVER
})

/** The variables of those who watch. */
export const watchVariables = {
  BATON_METRICS_TOKEN: longSecret.optional().register(about, {
    group: watching,
    says: 'A token that opens /api/metrics and the details of /api/health and nothing else, for Prometheus: at least 32 characters.',
    otherwise: 'none: an admin key of the own tenant, or BATON_ADMIN_KEY',
  }),
  BATON_ALERT_WEBHOOK: webUrl.optional().register(about, {
    group: watching,
    says: 'Gets one line of text (Slack\'s shape, {"text"}) when health changes, a budget is full, an endpoint is disabled or a run is poisoned; https outside local mode.',
    otherwise: 'none',
  }),
  BATON_LOG_FORMAT: z.enum(['json', 'text'], { error: 'must be json or text' }).optional().register(about, {
    group: watching,
    says: 'How log lines look: JSON for machines, text for people.',
    otherwise: 'json; text under `npm run dev`',
  }),
  BATON_LOG_LINES: logKinds.default(['retry']).register(about, {
    group: watching,
    says: 'Lines of each model call that are written: some of usage, retry and cache, or none.',
    otherwise: 'retry',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: webUrl.optional().register(about, {
    group: watching,
    says: 'Where OpenTelemetry traces go (OTLP over HTTP); OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES hold too; of the other OTEL_* names only those below are promised.',
    aliases: ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
    otherwise: 'none: OpenTelemetry is not loaded',
  }),
  // Hosts set these two for other programs as well: what is not known here is taken as the default, as OpenTelemetry says.
  OTEL_TRACES_SAMPLER: z
    .enum(samplers)
    .catch('parentbased_always_on')
    .register(about, {
      group: watching,
      says: `Which traces are recorded: ${samplers.join(', ')}.`,
      otherwise: 'parentbased_always_on, also for any other',
    }),
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).catch(1).register(about, {
    group: watching,
    says: 'The part, from 0 to 1, for a sampler by ratio.',
    otherwise: '1, also for what is no such number',
  }),
  OTEL_SDK_DISABLED: z
    .enum(['true', 'false'], { error: 'must be true or false' })
    .default('false')
    .register(about, { group: watching, says: 'Switches the traces off, wherever they would go.', otherwise: 'false' }),
} as const
