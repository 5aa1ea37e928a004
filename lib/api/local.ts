import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import type { LocalServices, Services } from '#lib/services'

function localOf(services: Services): LocalServices {
  if (services.local === null) throw new BatonError('not_found', 'This address exists in local mode only.')
  return services.local
}

/** GET /api/local/effects: what tools and models were really asked to do, written outside any transaction. */
export const localEffects = endpoint({
  method: 'GET',
  path: '/api/local/effects',
  summary: 'Local mode: the effects log',
  access: 'operator',
  query: z.object({ key: z.string().max(200).optional(), runId: z.string().max(100).optional() }),
  handler: async ({ services, query }) => json(200, { data: await localOf(services).effects({ key: query.key, runId: query.runId }) }),
})

/** GET /api/local/time */
export const localTime = endpoint({
  method: 'GET',
  path: '/api/local/time',
  summary: 'Local mode: the clock of leases, waits and expiries',
  access: 'operator',
  handler: async ({ services }) => json(200, await localOf(services).time(0)),
})

/** POST /api/local/time {advanceMs}: moves that clock forward. */
export const moveLocalTime = endpoint({
  method: 'POST',
  path: '/api/local/time',
  summary: 'Local mode: move the clock forward',
  access: 'operator',
  body: z.strictObject({ advanceMs: z.int().nonnegative().max(4_000_000_000) }),
  handler: async ({ services, body }) => json(200, await localOf(services).time(body.advanceMs)),
})

/** POST /api/local/crash {at, call, nth, times}: this process dies there; {} takes it back. For tests. */
export const localCrash = endpoint({
  method: 'POST',
  path: '/api/local/crash',
  summary: 'Local mode: let this server process die at a point',
  access: 'operator',
  body: z.looseObject({}),
  handler({ services, body }) {
    localOf(services).crash(Object.keys(body).length === 0 ? null : body)
    return json(200, { pid: process.pid })
  },
})
