/** What a check found: one line, and for what is not right its cure. */
export interface Finding {
  area: 'configuration' | 'versions' | 'postgres' | 'redis' | 'inngest' | 'models' | 'webhooks' | 'deployment'
  level: 'ok' | 'warn' | 'fail'
  says: string
  cure?: string
}

/** The three levels of one area. */
export interface Teller {
  ok(says: string): Finding
  warn(says: string, cure: string): Finding
  fail(says: string, cure: string): Finding
}

/** Findings of one area. */
export function teller(area: Finding['area']): Teller {
  return {
    ok: (says) => ({ area, level: 'ok', says }),
    warn: (says, cure) => ({ area, level: 'warn', says, cure }),
    fail: (says, cure) => ({ area, level: 'fail', says, cure }),
  }
}

/** What an error says in one line, with what is behind it. */
export function lineOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, 300)
  const cause = error.cause === undefined ? '' : ` (${lineOf(error.cause)})`
  const inner = error instanceof AggregateError && error.message === '' ? error.errors.map(lineOf).join('; ') : error.message
  return `${inner}${cause}`.replaceAll(/\s+/g, ' ').slice(0, 300)
}

/** A request that is given up after `ms`; the body as text, cut at 100 KB. */
export async function ask(url: string, init: RequestInit = {}, ms = 5_000): Promise<{ status: number; headers: Headers; text: string }> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(ms), redirect: 'manual' })
  return { status: response.status, headers: response.headers, text: (await response.text()).slice(0, 100_000) }
}

/** The body as an object; empty where it is none. */
export function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
  } catch {
    return {} // a page of a proxy: its status is told
  }
}

/** A field of an answer as text; empty where it is none. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value)
}
