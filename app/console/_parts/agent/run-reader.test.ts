import { afterEach, expect, test, vi } from 'vitest'
import { readRuns } from '#app/console/_parts/agent/run-reader'

afterEach(() => void vi.unstubAllGlobals())

/** An agent of so many runs, the newest first; the cursor tells how many have been handed out. The addresses that were asked. */
function agentOf(runs: number): string[] {
  const asked: string[] = []
  vi.stubGlobal('fetch', (path: string) => {
    asked.push(path)
    const { searchParams } = new URL(path, 'http://localhost')
    const from = Number(searchParams.get('cursor') ?? 0)
    const to = Math.min(runs, from + Number(searchParams.get('limit')))
    const data = Array.from({ length: to - from }, (_, n) => ({ id: `run_${runs - from - n}` }))
    return Promise.resolve(Response.json({ data, nextCursor: to < runs ? String(to) : null }))
  })
  return asked
}

const { signal } = new AbortController()
const read = async (most: number): Promise<{ ids: string[]; isAll: boolean }> => {
  const { data, nextCursor } = await readRuns('/api/agents/a/runs', most, signal)
  return { ids: data.map(({ id }) => id), isAll: nextCursor === null }
}

test('the runs that are listed are the newest without a gap, also when others came after older ones were asked for', async () => {
  agentOf(25)
  expect((await read(40)).ids).toHaveLength(25)
  agentOf(50)
  const { ids, isAll } = await read(40)
  expect([ids[0], ids[39], ids.length, isAll]).toEqual(['run_50', 'run_11', 40, false])
})

test('no more runs are read than were asked for, in pages as large as the API has them', async () => {
  const asked = agentOf(1_000)
  expect((await read(220)).ids.at(-1)).toBe('run_781')
  expect(asked).toEqual(['/api/agents/a/runs?limit=200', '/api/agents/a/runs?limit=20&cursor=200'])
  const few = agentOf(230)
  expect(await read(240)).toMatchObject({ isAll: true })
  expect(few).toHaveLength(2)
})
