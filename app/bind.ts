import { randomUUID } from 'node:crypto'
import { after } from 'next/server'
import { baton } from '#lib/baton'
import type { Log } from '#lib/core/ports'
import { redact } from '#lib/core/redact'
import { handle } from '#lib/http/handle'
import type { Endpoint } from '#lib/http/endpoint'
import type { RouteMethods } from '#lib/http/handle'
import { respondWithProblem, type ShapeError } from '#lib/http/problem'

type Services = Awaited<ReturnType<typeof baton>>

function line(level: string, message: string, fields: Record<string, unknown> = {}): void {
  process.stderr.write(`${JSON.stringify(redact({ level, message, ...fields }))}\n`)
}

/** Used only while there are no services, so when the configuration is bad. */
const fallbackLog: Log = {
  info: (message, fields) => line('info', message, fields),
  warn: (message, fields) => line('warn', message, fields),
  error: (message, fields) => line('error', message, fields),
}

/** Keeps the function going until the work is done. */
function background(work: Promise<unknown>): void {
  try {
    after(work)
  } catch {
    // after() throws outside a request (tests that call a route directly): the work runs on by itself there.
  }
}

/** Binds endpoint values of one address to a Next route: `export const { GET, POST, ... } = bind(list, create)`. */
export function bind(...endpoints: readonly Endpoint<Services>[]): RouteMethods {
  return handle(endpoints, { services: baton, background, fallbackLog })
}

/** Answers that there is nothing at an address of a dialect, in its shape of errors. */
export function bindNothing(shapeError: ShapeError): RouteMethods {
  return handle([], { services: baton, background, fallbackLog, shapeError })
}

async function count({ metrics }: Services, route: string, method: string, status: number, seconds: number): Promise<void> {
  metrics.count('baton_http_requests_total', { route, method, status: String(status) })
  metrics.observe('baton_http_request_duration_seconds', { route }, seconds)
  if (metrics.due()) await metrics.flush()
}

/** A handler of a route that is not made of endpoints (Inngest's): what it throws, bad configuration above all, is answered as a problem; it is counted as all are. */
export function guarded<Given extends Request>(
  route: string,
  handler: (request: Given, context: unknown) => Promise<Response>,
): typeof handler {
  const answer: typeof handler = async (request, context) => {
    try {
      return await handler(request, context)
    } catch (error) {
      fallbackLog.error('a request failed', { path: new URL(request.url).pathname, error: String(error) })
      return respondWithProblem(error, { request, requestId: `req_${randomUUID()}`, baseUrl: null, redact, log: fallbackLog })
    }
  }
  return async (request, context) => {
    const from = performance.now()
    const response = await answer(request, context)
    const services = await baton().catch(() => null)
    if (services === null) return response // There is nobody to tell, and the answer has said why.
    if (services.ending()) response.headers.set('connection', 'close') // lib/http/handle.ts does so, too, and says why
    background(count(services, route, request.method, response.status, (performance.now() - from) / 1_000))
    return response
  }
}
