import { AsyncLocalStorage } from 'node:async_hooks'
import { reasonOf } from '#lib/core/errors'
import type { Ids, Log, LogFields, Span, SpanInfo, Telemetry } from '#lib/core/ports'
import { newTrace, readTraceparent, writeTraceparent } from '#lib/core/traceparent'

/** What the work of this moment stands in. */
export interface Place {
  fields: LogFields
  traceparent: string | null
}

/** Where the present work stands: one for all copies of this module in a process. */
declare global {
  var batonPlace: AsyncLocalStorage<Place> | undefined
}

function places(): AsyncLocalStorage<Place> {
  return (globalThis.batonPlace ??= new AsyncLocalStorage())
}

/** The fields that every log line of the present work carries, its trace among them. */
export function presentFields(): LogFields {
  const place = places().getStore()
  if (place === undefined) return {}
  const trace = readTraceparent(place.traceparent)
  return { ...place.fields, ...(trace === null ? {} : { trace_id: trace.traceId }) }
}

/** A span that somebody records. */
export interface Recorded {
  traceparent: string
  set(attributes: SpanInfo['attributes']): void
  fail(type: string): void
  end(): void
}

/** Who records spans, where OTEL_* says so. */
export interface Recorder {
  start(info: SpanInfo, parent: string | null): Recorded
  /** Sends what was recorded. Never rejects. */
  flush(): Promise<void>
}

interface Needs {
  ids: Pick<Ids, 'uuid'>
  recorder: (() => Promise<Recorder>) | null
  log: Pick<Log, 'error'>
}

/** Makes the port. Without a recorder there are no spans, but the trace is carried on all the same: for logs, runs and webhooks. */
export function createTelemetry({ ids, recorder, log }: Needs): Telemetry {
  let loaded: Promise<Recorder | null> | null = null
  const unrecorded: Span = { set: () => undefined, fail: () => undefined }

  function at<Result>(change: Partial<Place>, work: () => Result): Result {
    const around = places().getStore() ?? { fields: {}, traceparent: null }
    const fields = { ...around.fields, ...change.fields }
    return places().run({ fields, traceparent: change.traceparent ?? around.traceparent }, work)
  }

  /** Null where it cannot be made: what is asked of Baton is done all the same. Told once. */
  const load = (): Promise<Recorder | null> =>
    (loaded ??= Promise.resolve()
      .then(() => recorder?.() ?? null)
      .catch((error: unknown) => {
        log.error('traces are not recorded: OpenTelemetry could not be loaded', { error: reasonOf(error) })
        return null
      }))

  return {
    within: (fields, work) => at({ fields }, work),
    traceparent: () => places().getStore()?.traceparent ?? null,
    async span(info, work) {
      const parent = readTraceparent(info.parent) === null ? (places().getStore()?.traceparent ?? null) : (info.parent ?? null)
      const recording = recorder === null ? null : await load()
      if (recording === null) return at({ traceparent: parent ?? writeTraceparent(newTrace(ids.uuid)) }, () => work(unrecorded))
      const span = recording.start(info, parent)
      try {
        return await at({ traceparent: span.traceparent }, () => work(span))
      } catch (error) {
        span.fail(error instanceof Error ? error.name : 'error')
        throw error
      } finally {
        span.end()
      }
    },
    async flush() {
      await (await loaded)?.flush()
    },
  }
}
