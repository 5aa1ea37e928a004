import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ env: { NODE_OPTIONS: '--max-old-space-size=192 --max-semi-space-size=8' } })
})
afterAll(() => world.close())

/** Memory of a process in MB: its peak, and what is its own and not of files now; null where the system does not tell it in this way. */
function memoryOf(pid: number): { peak: number; own: number; files: number } | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const of = (name: string): number => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1_024)
    return { peak: of('VmHWM'), own: of('RssAnon'), files: of('RssFile') }
  } catch {
    // Another system than Linux.
    return null
  }
}

test('50 agents at a time, with streams and 20 KB answers, in 192 MB of heap: none is lost and the process lives', async () => {
  const pid = world.stack.info.pids.servers[0] ?? 0
  const text = 'a line of an answer that is not short '.repeat(500)
  const turn = script({ tools: [{ name: 'echo', input: { value: text } }], delayMs: 100 }, { text, chunks: 20, chunkDelayMs: 20 })
  const agents = Array.from({ length: 50 }, (_, n) => `memory-${n}`)
  for (let round = 0; round < 2; round++) {
    await Promise.all(
      agents.map((agent, n) =>
        n % 5 === 0
          ? world.stream(`/api/agents/${agent}/messages`, {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify({ message: turn, template: 'scripted' }),
            })
          : world.send(agent, turn, { prefer: 'wait=50' }),
      ),
    )
    // On a busy machine a slice may have been handed over: the run is what counts.
    const open = async () => (await world.sql('select 1 from baton.runs where ended_at is null limit 1')).length > 0
    expect(await poll(async () => !(await open()), { everyMs: 100, forMs: 60_000 })).toBe(true)
  }
  expect(await world.sql('select state, count(*)::integer as runs from baton.runs group by state')).toEqual([
    { state: 'completed', runs: 100 },
  ])
  expect(world.stack.info.pids.servers[0]).toBe(pid)
  const memory = memoryOf(pid)
  console.log('memory of the server in MB:', memory)
  // What a container of 256 MB counts; pages of files can be given back.
  if (memory !== null) expect(memory.own).toBeLessThan(230)
})
