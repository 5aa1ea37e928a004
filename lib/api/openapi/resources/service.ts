import { z } from 'zod'
import { openApi } from '#lib/api/openapi'
import { json, nothing, operation, type Resource } from '#lib/api/openapi/describe'

const anyDocument = z.looseObject({ openapi: z.string() }).meta({ id: 'OpenApiDocument' })

/** The service itself. */
export const service: Resource = {
  tag: 'Service',
  description: 'What it understands.',
  operations: {
    getOpenApi: operation(
      openApi,
      { 200: json(anyDocument, 'This document', { openapi: '3.1.1' }, ['ETag']), 304: nothing('It is as the caller knows it', ['ETag']) },
      { headers: ['If-None-Match'] },
    ),
  },
}
