import { reasonOf } from '#lib/core/errors'
import type { Sampling } from '#lib/core/config'
import type { Log, SpanInfo } from '#lib/core/ports'
import { readTraceparent, writeTraceparent } from '#lib/core/traceparent'
import type { Recorder } from '#lib/telemetry/telemetry'

/** Spans are sent in batches after so long, and whenever a function is about to end. */
const everyMs = 2_000
const sendMs = 3_000

/**
 * Records spans with OpenTelemetry and sends them over OTLP/HTTP to where OTEL_* says. Loaded with the first span, never before: 100 ms of
 * cold start. No provider is registered for the whole process, so that Next's own spans do not come between.
 */
export async function otelRecorder(log: Pick<Log, 'warn'>, sampling: Sampling): Promise<Recorder> {
  const [api, sdk, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  const named = resources.resourceFromAttributes({ 'service.name': 'baton' })
  const told = resources.detectResources({ detectors: [resources.envDetector] })
  const exporter = new OTLPTraceExporter({ timeoutMillis: sendMs })
  const processor = new sdk.BatchSpanProcessor({ exporter, scheduledDelayMillis: everyMs, exportTimeoutMillis: sendMs })
  const { by, ratio } = sampling
  const root = by.endsWith('off')
    ? new sdk.AlwaysOffSampler()
    : by.endsWith('ratio')
      ? new sdk.TraceIdRatioBasedSampler(ratio)
      : new sdk.AlwaysOnSampler()
  const provider = new sdk.TracerProvider({
    resource: resources.defaultResource().merge(named).merge(told),
    spanProcessors: [processor],
    sampler: by.startsWith('parentbased') ? new sdk.ParentBasedSampler({ root }) : root,
  })
  const tracer = provider.getTracer('baton')
  const kinds = { server: api.SpanKind.SERVER, client: api.SpanKind.CLIENT, internal: api.SpanKind.INTERNAL }

  return {
    start({ name, kind, attributes }: SpanInfo, parent) {
      const from = readTraceparent(parent)
      const root = api.ROOT_CONTEXT
      const { traceId = '', spanId = '', sampled = false } = from ?? {}
      const traceFlags = sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE
      const context = from === null ? root : api.trace.setSpanContext(root, { traceId, spanId, traceFlags, isRemote: true })
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes }, context)
      const own = span.spanContext()
      return {
        traceparent: writeTraceparent({ ...own, sampled: (own.traceFlags & api.TraceFlags.SAMPLED) !== 0 }),
        set: (more) => void span.setAttributes(more),
        fail(type) {
          span.setAttribute('error.type', type)
          span.setStatus({ code: api.SpanStatusCode.ERROR })
        },
        end: () => span.end(),
      }
    },
    async flush() {
      try {
        await provider.forceFlush({ timeoutMillis: sendMs })
      } catch (error) {
        log.warn('spans were not sent', { error: reasonOf(error) })
      }
    },
  }
}
