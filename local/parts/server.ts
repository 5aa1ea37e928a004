import { createRequire } from 'node:module'
import { required } from '#local/parts/part'

/**
 * Runs Next in this very process, so that its process id is the server's and a kill -9 of it leaves nothing behind.
 * SERVER_MODE is `start` (the build) or `dev`; Next itself handles SIGTERM.
 */
function main(): void {
  process.once('disconnect', () => process.exit(1)) // the supervisor was killed
  const next = createRequire(import.meta.url).resolve('next/dist/bin/next')
  const mode = required('SERVER_MODE')
  process.argv = [process.execPath, next, mode, '-p', required('PORT'), '-H', '127.0.0.1']
  // Node closes an idle connection after 5 s: a client on a busy machine would send its next request into one that is being closed.
  if (mode === 'start') process.argv.push('--keepAliveTimeout', '65000')
  createRequire(import.meta.url)(next)
}

main()
