import { asset } from '#lib/api/docs/asset'
import { endpoint } from '#lib/api/endpoint'

const maxAgeS = 300

/** GET /api/openapi.json: made from the endpoint values alone, so the same with and without a database. */
export const openApi = endpoint({
  method: 'GET',
  path: '/api/openapi.json',
  summary: 'The OpenAPI 3.1 document of this API',
  access: 'open',
  async handler({ request }) {
    // Loaded where it is used: it brings every endpoint with it, and this one is among them.
    const { openApiDocument } = await import('#lib/api/openapi/document')
    return asset(request, 'application/json', JSON.stringify(openApiDocument()), maxAgeS)
  },
})
