import { z } from 'zod'
import { health, live } from '#lib/api/health'
import { openApi } from '#lib/api/openapi'
import { json, nothing, operation, type Resource } from '#lib/api/openapi/describe'
import { health as healthAnswer } from '#lib/api/openapi/schemas/control'
import { exampleIds } from '#lib/api/openapi/schemas/words'

const checkedAt = exampleIds.at
const alive = z.object({ alive: z.literal(true) }).meta({ id: 'Alive' })
const anyDocument = z.looseObject({ openapi: z.string() }).meta({ id: 'OpenApiDocument' })

/** The service itself. */
export const service: Resource = {
  tag: 'Service',
  description: 'Whether Baton answers, and what it understands.',
  operations: {
    getHealth: operation(health, {
      200: json(healthAnswer, 'Postgres answers', {
        healthy: true,
        checks: { database: { connected: true, latencyMs: 2 }, audit: { auditFailures: 0 } },
        checkedAt,
      }),
      503: json(
        healthAnswer,
        'Postgres does not answer.',
        { healthy: false, checks: { database: { connected: false, latencyMs: null } }, checkedAt },
        ['Retry-After'],
      ),
    }),
    getLiveness: operation(live, { 200: json(alive, 'The process answers', { alive: true }) }),
    getOpenApi: operation(
      openApi,
      { 200: json(anyDocument, 'This document', { openapi: '3.1.1' }, ['ETag']), 304: nothing('It is as the caller knows it', ['ETag']) },
      { headers: ['If-None-Match'] },
    ),
  },
}
