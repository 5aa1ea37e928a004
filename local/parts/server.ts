import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { required } from '#local/parts/part'

const require = createRequire(import.meta.url)

/** What is read of the build's own list of what a server needs. */
interface BuiltFiles {
  config: { experimental: object }
}

/**
 * Serves the build as the server.js of a standalone build does, with the configuration that the build has written: `next start` would compile
 * next.config.ts anew each time. Routes load when they are first asked for. A third of a start, and the tests start hundreds.
 */
async function serveBuild(port: number): Promise<void> {
  const { config } = JSON.parse(readFileSync(join('.next', 'required-server-files.json'), 'utf8')) as BuiltFiles
  const experimental = { ...config.experimental, preloadEntriesOnStart: false }
  process.env['__NEXT_PRIVATE_STANDALONE_CONFIG'] = JSON.stringify({ ...config, experimental })
  require('next')
  const { startServer } = require('next/dist/server/lib/start-server') as typeof import('next/dist/server/lib/start-server.js')
  await startServer({
    dir: process.cwd(),
    isDev: false,
    hostname: '127.0.0.1',
    port,
    allowRetry: false,
    // Node closes an idle connection after 5 s: a client on a busy machine would send its next request into one that is being closed.
    keepAliveTimeout: 65_000,
  })
}

/** Runs the compiler as `next dev` does. */
function serveSources(port: string): void {
  const next = require.resolve('next/dist/bin/next')
  process.argv = [process.execPath, next, 'dev', '-p', port, '-H', '127.0.0.1']
  require(next)
}

/**
 * Runs Next in this very process, so that its process id is the server's and a kill -9 of it leaves nothing behind.
 * SERVER_MODE is `start` (the build) or `dev`; Next itself handles SIGTERM.
 */
async function main(): Promise<void> {
  process.once('disconnect', () => process.exit(1)) // the supervisor was killed
  const port = required('PORT')
  if (required('SERVER_MODE') === 'start') await serveBuild(Number(port))
  else serveSources(port)
}

await main()
