import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NextConfig } from 'next'

/** The shortest `maxDuration` of the route files, in seconds: Vercel ends their functions by it, whatever vercel.json says. */
const shortestSeconds = Math.min(
  ...globSync('app/**/route.ts', { cwd: import.meta.dirname }).flatMap((path) =>
    [...readFileSync(join(import.meta.dirname, path), 'utf8').matchAll(/^export const maxDuration = (\d+)/gm)].map(([, seconds]) =>
      Number(seconds),
    ),
  ),
)

const config: NextConfig = {
  poweredByHeader: false,
  // Answers are small and streams must not be buffered: who serves this behind a proxy compresses there, Vercel does it itself.
  compress: false,
  env: {
    // What the configuration holds BATON_MAX_DURATION_MS against on Vercel.
    MAX_DURATION_OF_BUILD: String(shortestSeconds),
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
