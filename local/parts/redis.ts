import { endWithSupervisor, listen, required } from '#local/parts/part'
import { startEngine } from '#local/redis/engine'
import { createGateway } from '#local/redis/gateway'

/** A Redis for this stack alone: the real one of REDIS_URL, or an engine that forgets at its end. */
async function redisUrl(): Promise<string> {
  const given = process.env['REDIS_URL']
  if (given !== undefined && given !== '') return given
  return (await startEngine()).url
}

async function main(): Promise<void> {
  endWithSupervisor()
  const port = Number(required('REDIS_PORT'))
  const token = required('REDIS_TOKEN')
  await listen(createGateway({ redisUrl: await redisUrl(), token }), port)
}

await main()
