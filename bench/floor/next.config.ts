import { join } from 'node:path'
import type { NextConfig } from 'next'

// As Baton's own: nothing compressed, nothing checked twice.
const config: NextConfig = {
  poweredByHeader: false,
  compress: false,
  typescript: { ignoreBuildErrors: true },
  turbopack: { root: join(import.meta.dirname, '../..') },
}

export default config
