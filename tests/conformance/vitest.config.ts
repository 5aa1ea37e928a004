import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const root = join(import.meta.dirname, '../..')

/** Other people's clients against the built server; run by `npm run conformance`, which installs them first. */
export default defineConfig({
  root: import.meta.dirname,
  // This folder has a package.json of its own, so Node's subpath imports of Baton's end here.
  resolve: {
    alias: [
      { find: /^#(app|lib|inngest|local|scripts|supabase|tests)\//, replacement: `${root}/$1/` },
      { find: /^baton-client$/, replacement: `${root}/lib/client/src/chat-transport.ts` },
    ],
    // The examples find the clients that are installed here.
    dedupe: ['react', 'react-dom', 'ai', '@ai-sdk/react', '@ai-sdk/workflow'],
  },
  test: {
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: [join(root, 'tests/global-setup.ts')],
    include: ['**/*.test.ts', '**/*.test.tsx'],
  },
})
