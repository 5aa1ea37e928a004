import { endpoint } from '#lib/api/endpoint'
import { sha256Hex } from '#lib/http/json'

/** GET /api/openapi.json: made from the endpoint values alone, so the same with and without a database. */
export const openApi = endpoint({
  method: 'GET',
  path: '/api/openapi.json',
  summary: 'The OpenAPI 3.1 document of this API',
  access: 'open',
  async handler({ request }) {
    // Loaded where it is used: it brings every endpoint with it, and this one is among them.
    const { openApiDocument } = await import('#lib/api/openapi/document')
    const text = JSON.stringify(openApiDocument())
    const etag = `"${sha256Hex(text).slice(0, 24)}"`
    const headers = { etag, 'cache-control': 'public, max-age=300', 'content-type': 'application/json; charset=utf-8' }
    if (request.headers.get('if-none-match')?.includes(etag)) return new Response(null, { status: 304, headers })
    return new Response(text, { headers })
  },
})
