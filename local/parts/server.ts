import { createRequire } from 'node:module'
import { required } from '#local/parts/part'

/**
 * Runs Next in this very process, so that its process id is the server's and a kill -9 of it leaves nothing behind.
 * SERVER_MODE is `start` (the build) or `dev`; Next itself handles SIGTERM.
 */
function main(): void {
  process.once('disconnect', () => process.exit(1)) // the supervisor was killed
  const next = createRequire(import.meta.url).resolve('next/dist/bin/next')
  process.argv = [process.execPath, next, required('SERVER_MODE'), '-p', required('PORT'), '-H', '127.0.0.1']
  createRequire(import.meta.url)(next)
}

main()
