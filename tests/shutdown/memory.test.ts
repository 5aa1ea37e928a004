import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ env: { NODE_OPTIONS: '--max-old-space-size=192' } })
})
afterAll(() => world.close())

/** Resident memory of a process in MB; null where the system does not tell it in this way. */
function residentMb(pid: number): number | null {
  try {
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024)
  } catch {
    // Another system than Linux.
    return null
  }
}

test('50 agents at a time, with streams and 20 KB answers, in 192 MB of heap: none is lost and the process lives', async () => {
  const pid = world.stack.info.pids.servers[0] ?? 0
  const text = 'a line of an answer that is not short '.repeat(500)
  const turn = script({ tools: [{ name: 'echo', input: { value: text } }], delayMs: 100 }, { text, chunks: 20, chunkDelayMs: 20 } as never)
  const agents = Array.from({ length: 50 }, (_, n) => `memory-${n}`)
  for (let round = 0; round < 3; round++) {
    const replies = await Promise.all(
      agents.map((agent, n) =>
        n % 5 === 0
          ? world
              .stream(`/api/agents/${agent}/messages`, {
                method: 'POST',
                headers: { 'content-type': 'application/json' },
                body: JSON.stringify({ message: turn, template: 'scripted' }),
              })
              .then((frames) => frames.at(-1)?.data['state'])
          : world.send(agent, turn, { prefer: 'wait=50' }).then(({ body }) => (body['run'] as { state: string } | undefined)?.state),
      ),
    )
    expect(replies.filter((state) => state !== 'completed')).toEqual([])
  }
  expect(world.stack.info.pids.servers[0]).toBe(pid)
  const peak = residentMb(pid)
  console.log(`peak resident memory of the server: ${peak} MB`)
})
