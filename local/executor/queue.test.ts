import { once } from 'node:events'
import { createServer } from 'node:http'
import { expect, it } from 'vitest'
import { call, type CallResult } from '#local/executor/call'
import { createConcurrency } from '#local/executor/concurrency'
import { freePort } from '#local/executor/contract-world'
import { createQueue } from '#local/executor/queue'
import { createRegistry } from '#local/executor/registry'
import { createJob, createRun } from '#local/executor/run'
import { poll } from '#local/poll'

const TIMES = { everyMs: 10, forMs: 60_000 }

it('keeps a job whose server does not listen, and sends it as the same attempt when one does', async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const registry = createRegistry([url], () => undefined)
  const config = { id: 'f', triggers: [{ event: 'e' }], steps: { step: { runtime: { type: 'http', url } } } }
  expect(registry.register({ url, appName: 'app', functions: [config] }, null).status).toBe(200)
  const definition = registry.functions().get('f')
  if (!definition) throw new Error('the function is not registered')

  const settled: CallResult[] = []
  const concurrency = createConcurrency(1)
  const queue = createQueue({
    registry,
    concurrency,
    send: (server) => call({ url: server.baseUrl, method: 'POST', headers: {}, body: '{}', timeoutMs: 60_000 }),
    settle: (_job, result) => settled.push(result),
    log: () => undefined,
  })
  const run = createRun(definition, { id: '1', name: 'e', data: {}, ts: 0 })
  queue.push(createJob(run, 'step', 0))
  expect(await poll(() => registry.servers[0]?.live === false && queue.size() === 1, TIMES)).toBe(true)
  expect(settled).toHaveLength(0)
  expect(concurrency.running()).toBe(0)

  const app = createServer((_request, response) => response.end('{}')).listen(port, '127.0.0.1')
  await once(app, 'listening')
  try {
    registry.register({ url, appName: 'app', functions: [config] }, null)
    queue.pump()
    expect(await poll(() => settled.length === 1, TIMES)).toBe(true)
    expect(settled[0]?.kind).toBe('answer')
    expect(run.requests).toBe(1)
  } finally {
    app.close()
  }
})
