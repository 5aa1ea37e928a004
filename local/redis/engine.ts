import { spawn } from 'node:child_process'
import { createRedisServer } from 'js-redis-server'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'
import { connectRedis } from '#local/redis/connection'

/** A Redis behind the gateway. */
export interface Engine {
  url: string
  close(): Promise<void>
}

/** How long a redis-server may take to answer, in milliseconds. */
const startPatienceMs = 10_000

/**
 * Starts a Redis of its own: the embedded engine, or the redis-server that BATON_REDIS_SERVER names. Both forget at their end.
 * Throws with its output when the server does not answer.
 */
export async function startEngine(): Promise<Engine> {
  const program = process.env['BATON_REDIS_SERVER']
  if (program !== undefined && program !== '') return startServer(program)
  const engine = await createRedisServer({ port: 0, logger: console })
  return { url: `redis://${engine.host}:${engine.port}`, close: () => engine.close() }
}

/** Runs a program until standard input ends: so it ends with the process that started it, however that ends. */
const untilInputEnds = 'exec 3<&0; "$0" "$@" & server=$!; cat <&3 >/dev/null; kill -9 $server'

async function startServer(program: string): Promise<Engine> {
  const claims = portClaims()
  const port = await claims.take(0)
  const url = `redis://127.0.0.1:${port}`
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const child = spawn('sh', ['-c', untilInputEnds, program, ...settings], { stdio: ['pipe', 'pipe', 'pipe'] })
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let failure = ''
  let output = ''
  child.once('error', (error) => (failure = error.message))
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)))
  const close = async (): Promise<void> => {
    child.stdin.end()
    if (failure === '') await gone
    claims.release()
  }
  const answers = async (): Promise<boolean> => {
    if (failure !== '' || child.exitCode !== null) return true
    // Not listening yet: asked again.
    const connection = await connectRedis(url).catch(() => null)
    connection?.close()
    return connection !== null
  }
  const up = await poll(answers, { everyMs: 30, forMs: startPatienceMs })
  if (up && failure === '' && child.exitCode === null) return { url, close }
  await close()
  throw new Error(`${program} does not answer: ${failure}\n${output}`)
}
