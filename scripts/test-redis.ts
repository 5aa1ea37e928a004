import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Everything that goes over Redis: the gateway's own, live text and signals, limits, and the scripts that run inside Redis. */
const files = [
  'local/redis',
  'lib/live',
  'lib/limiter',
  'tests/live',
  'tests/limits',
  'tests/engine/stop.test.ts',
  'tests/kill/reach.test.ts',
]

/** The redis-server of BATON_REDIS_SERVER or of the PATH; null where there is none. */
function redisServer(): { program: string; version: string } | null {
  const program = process.env['BATON_REDIS_SERVER'] ?? 'redis-server'
  const { error, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  return error === undefined ? { program, version: stdout.trim() } : null
}

/** The tests that use Redis against a real redis-server, one for each stack and file: `npm run test:redis`. */
async function main(): Promise<void> {
  const server = redisServer()
  if (server === null) {
    console.error(
      'There is no redis-server here: install it (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis), or name one with BATON_REDIS_SERVER=/path/to/redis-server.',
    )
    process.exitCode = 1
    return
  }
  console.log(server.version)
  const child = spawn(process.execPath, [join('node_modules', 'vitest', 'vitest.mjs'), 'run', ...files], {
    stdio: 'inherit',
    env: { ...process.env, BATON_REDIS_SERVER: server.program },
  })
  process.exitCode = await new Promise<number>((resolve, reject) => child.once('error', reject).once('exit', (code) => resolve(code ?? 1)))
}

await main()
