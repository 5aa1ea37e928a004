import { sha256Hex } from '#lib/http/json'

/** A text that is the same for everybody: cached for `maxAgeS` seconds, and 304 to a caller that has it (RFC 9110, If-None-Match). */
export function asset(request: Request, mediaType: string, text: string, maxAgeS: number): Response {
  const etag = `"${sha256Hex(text).slice(0, 24)}"`
  const headers = { 'cache-control': `public, max-age=${maxAgeS}`, etag }
  const known = request.headers.get('if-none-match')?.split(',') ?? []
  if (known.some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag))
    return new Response(null, { status: 304, headers })
  return new Response(text, { headers: { ...headers, 'content-type': `${mediaType}; charset=utf-8` } })
}
