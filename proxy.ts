import { NextResponse, type NextRequest } from 'next/server'

/**
 * Only the console's pages pass here: before API routes a proxy would cut large bodies. And addresses of the API that may be broken: with a percent sign
 * that begins no character of ASCII, as nothing of ours has.
 */
export const config = { matcher: ['/console', '/console/:path*', '/:api(api|v1)/:rest(.*%(?![0-7][0-9A-Fa-f]).*)'] }

/** See `page` and `readable`. */
export function proxy(request: NextRequest): NextResponse {
  return request.nextUrl.pathname.startsWith('/console') ? page(request) : readable(request)
}

/**
 * Percent signs that mean nothing are taken as themselves: Next would answer a bare 500 before any code of ours, which answers that there is no such
 * id, or that it can be none.
 */
function readable(request: NextRequest): NextResponse {
  const url = new URL(request.url)
  const segments = url.pathname.split('/').map((segment) => {
    try {
      decodeURIComponent(segment)
      return segment
    } catch {
      return encodeURIComponent(segment)
    }
  })
  const pathname = segments.join('/')
  if (pathname === url.pathname) return NextResponse.next()
  url.pathname = pathname
  return NextResponse.rewrite(url)
}

/**
 * Gives each page of the console its Content-Security-Policy: scripts by nonce, which Next takes from the header of the request and
 * puts on its own; nothing from elsewhere; no frame around it.
 */
function page(request: NextRequest): NextResponse {
  const nonce = Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString('base64')
  // React's development build evaluates text to rebuild stacks, and its styles come as text.
  const development = process.env.NODE_ENV === 'development'
  const policy = [
    "default-src 'none'",
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'${development ? " 'unsafe-eval'" : ''}`,
    `style-src 'self' ${development ? "'unsafe-inline'" : `'nonce-${nonce}'`}`,
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src 'self'${development ? ' ws:' : ''}`,
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
  ].join('; ')
  const headers = new Headers(request.headers)
  headers.set('x-nonce', nonce)
  headers.set('content-security-policy', policy)
  const response = NextResponse.next({ request: { headers } })
  response.headers.set('content-security-policy', policy)
  response.headers.set('x-content-type-options', 'nosniff')
  response.headers.set('referrer-policy', 'no-referrer')
  response.headers.set('x-frame-options', 'DENY')
  response.headers.set('cross-origin-opener-policy', 'same-origin')
  response.headers.set('permissions-policy', 'camera=(), microphone=(), geolocation=(), payment=()')
  response.headers.set('cache-control', 'no-store')
  if (request.nextUrl.protocol === 'https:') response.headers.set('strict-transport-security', 'max-age=31536000')
  return response
}
