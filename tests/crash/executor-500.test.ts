import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { poll } from '#local/poll'
import { startProxy, type Proxy } from '#tests/crash/proxy'
import { script, startWorld, type World } from '#tests/world'

let proxy: Proxy
let world: World
beforeAll(async () => {
  proxy = await startProxy()
  const entry = pathToFileURL(join(import.meta.dirname, '../../local/parts/executor.ts')).href
  const code = `process.env.EXECUTOR_APP_URLS = '${proxy.url}'; await import('${entry}')`
  world = await startWorld({ executorCommand: [process.execPath, '--input-type=module', '-e', code] })
  proxy.target = world.base()
})
afterAll(async () => {
  await world.close()
  await proxy.close()
})

/** How many continuations have failed for good, as the executor tells. */
async function failedContinuations(): Promise<number> {
  const shape = z.object({ outcomes: z.record(z.string(), z.object({ failed: z.number() })) })
  const { outcomes } = shape.parse(await (await fetch(`${world.stack.info.inngestUrl}/state`)).json())
  return Object.entries(outcomes).reduce((sum, [id, { failed }]) => sum + (id.endsWith('agent-continue') ? failed : 0), 0)
}

test('invariant 7: the endpoint answers 500 until every retry of a continuation is spent, then works: the sweeper resumes the run', async () => {
  proxy.fate = (method, path) => (method === 'POST' && path.includes('agent-continue') ? 500 : 'pass')
  const reply = await world.send('spent', script({ text: 'first', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'finished' }), {
    prefer: 'respond-async',
  })
  expect(reply.status).toBe(202)
  expect(await poll(async () => (await failedContinuations()) > 0, { everyMs: 250, forMs: 50_000 })).toBe(true)
  expect((await world.run(String(reply.body['runId']))).state).toBe('running')
  proxy.fate = () => 'pass'
  expect(await world.ended(String(reply.body['runId']), 20_000)).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
})
