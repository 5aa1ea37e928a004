import { createRedisServer } from 'js-redis-server'
import { endWithSupervisor, listen, required } from '#local/parts/part'
import { createGateway } from '#local/redis/gateway'

/** A Redis for this stack alone: the real one of REDIS_URL, or the embedded engine, which forgets at its end. */
async function redisUrl(): Promise<string> {
  const given = process.env['REDIS_URL']
  if (given !== undefined && given !== '') return given
  const { host, port } = await createRedisServer({ port: 0, logger: console })
  return `redis://${host}:${port}`
}

async function main(): Promise<void> {
  endWithSupervisor()
  const port = Number(required('REDIS_PORT'))
  const token = required('REDIS_TOKEN')
  await listen(createGateway({ redisUrl: await redisUrl(), token }), port)
}

await main()
