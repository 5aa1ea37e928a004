import type { NextConfig } from 'next'

const config: NextConfig = {
  poweredByHeader: false,
  // Answers are small and streams must not be buffered: who serves this behind a proxy compresses there, Vercel does it itself.
  compress: false,
  // `npm run check` runs tsc over everything, tests included; a build need not do it again.
  typescript: { ignoreBuildErrors: true },
  // Read at /docs by name, which tracing cannot see.
  outputFileTracingIncludes: {
    '/docs/viewer.js': ['./node_modules/swagger-ui-dist/swagger-ui-bundle.js'],
    '/docs/viewer.css': ['./node_modules/swagger-ui-dist/swagger-ui.css'],
  },
}

export default config
