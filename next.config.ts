import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { NextConfig } from 'next'

const config: NextConfig = {
  poweredByHeader: false,
  // Answers are small and streams must not be buffered: who serves this behind a proxy compresses there, Vercel does it itself.
  compress: false,
  // What health compares with the ledger of the database: a deployed function has no files to look at.
  env: {
    MIGRATIONS_OF_BUILD: readdirSync(join(import.meta.dirname, 'supabase', 'migrations'))
      .toSorted()
      .join(','),
  },
  // Where monitors look by custom.
  rewrites: () =>
    Promise.resolve([
      { source: '/metrics', destination: '/api/metrics' },
      { source: '/health/:path*', destination: '/api/health/:path*' },
      { source: '/:probe(live|ready|startup)', destination: '/api/health/:probe' },
    ]),
  // `npm run check` runs tsc over everything, tests included; a build need not do it again.
  typescript: { ignoreBuildErrors: true },
  // Read at /docs by name, which tracing cannot see.
  outputFileTracingIncludes: {
    '/docs/viewer.js': ['./node_modules/swagger-ui-dist/swagger-ui-bundle.js'],
    '/docs/viewer.css': ['./node_modules/swagger-ui-dist/swagger-ui.css'],
  },
}

export default config
