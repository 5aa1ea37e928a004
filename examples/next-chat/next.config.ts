/** Baton on another address: the page asks its own, so that no CORS is needed. */
const config = {
  rewrites: () => [{ source: '/api/:path*', destination: `${process.env['BATON_URL'] ?? 'http://localhost:3000'}/api/:path*` }],
}

export default config
