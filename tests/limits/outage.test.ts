import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

/** All lines that the servers have logged. */
function logged(): string[] {
  const files = readdirSync(world.dataDir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.log'))
  return files.flatMap((name) => readFileSync(join(world.dataDir, name), 'utf8').split('\n'))
}

test('without Redis requests are answered, the same limits hold in each process, and it is told once', async () => {
  for (const agent of ['away', 'tool'])
    expect((await world.http('PUT', `/api/limits/agent:${agent}`, { messagesPerMinute: 5 })).status).toBe(200)
  expect((await world.send('away', 'x', { prefer: 'wait=25' })).status).toBe(200)
  await world.stack.halt('redis')
  const since = performance.now()
  const statuses: number[] = []
  for (let n = 0; n < 12; n++) {
    const reply = await world.send('away', script({ text: 'x' }), { prefer: 'wait=25' })
    statuses.push(reply.status)
    if (reply.status === 429) expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  // What Redis had counted is not known here: the count of this process begins with the outage.
  expect(statuses).toEqual([...Array<number>(5).fill(200), ...Array<number>(7).fill(429)])
  // The last ones meet an open breaker, which says so when it opens.
  const told = () => logged().filter((line) => line.includes('rate limits are counted in this process'))
  /** Once, and once more for each pause of 5 s at whose end Redis was still away. */
  const most = () => 1 + Math.floor((performance.now() - since) / 5_000)
  await expect.poll(() => told().length).toBeGreaterThan(0)
  expect(told().length).toBeLessThanOrEqual(most())
  world.stack.resume('redis')
  await world.stack.waitReady('redis')
  // After the breaker's pause Redis is asked again: it knows of one message in the last minute.
  const back = async () => (await world.send('tool', 'x', { prefer: 'wait=25' })).headers.get('ratelimit')?.includes('r=') === true
  expect(await poll(back, { everyMs: 500, forMs: 40_000 })).toBe(true)
  expect(told().length).toBeLessThanOrEqual(most())
})
