/** The parts of a W3C traceparent (https://www.w3.org/TR/trace-context/). */
export interface TraceContext {
  /** 32 hex digits, the same for all that one request has caused. */
  traceId: string
  /** 16 hex digits. */
  spanId: string
  sampled: boolean
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** The parts of a traceparent; null for what is none: another form, an id of zeros, version ff. Of newer versions the known parts count. */
export function readTraceparent(text: string | null | undefined): TraceContext | null {
  const [, version, traceId = '', spanId = '', flags = '', more] = form.exec(text ?? '') ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return null
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** The traceparent of these parts, version 00. */
export function writeTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`
}

/** A trace that begins here, made of two UUIDs; nobody has asked to sample it. */
export function newTrace(uuid: () => string): TraceContext {
  const hex = (): string => uuid().replaceAll('-', '')
  return { traceId: hex(), spanId: hex().slice(16), sampled: false }
}
