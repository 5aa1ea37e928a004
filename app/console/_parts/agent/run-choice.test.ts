import { expect, test } from 'vitest'
import type { RunView } from '#lib/core/store'
import { mergedRuns, runShown, runsKnown } from '#app/console/_parts/agent/run-choice'

const run = (id: string, state: string, startedAt: string | null = null): RunView => ({ id, state, startedAt }) as unknown as RunView
const began = '2026-11-21T08:00:00Z'

test('the run that holds the agent is shown, though others are newer: they wait, were cancelled while they waited, or it went ahead of them', () => {
  const runs = [run('run_5', 'queued'), run('run_4', 'cancelled'), run('run_3', 'completed', began), run('run_2', 'running', began)]
  expect(runShown(runs, null, 'run_2')?.id).toBe('run_2')
  expect(runShown(runs, 'run_5', 'run_2')?.id).toBe('run_5')
})

test('where no run holds the agent the one that began last is shown, else the newest', () => {
  const later = '2026-11-21T08:00:01Z'
  const runs = [run('run_5', 'queued'), run('run_4', 'cancelled'), run('run_3', 'completed', began), run('run_2', 'failed', later)]
  expect(runShown(runs, null, null)?.id).toBe('run_2')
  expect(runShown(runs.slice(0, 2), null, null)?.id).toBe('run_5')
  expect(runShown([], null, 'run_2')).toBeNull()
})

test('runs of several lists stand once, newest first, as the first list has them', () => {
  const newest = [run('run_9', 'running'), run('run_8', 'completed')]
  const older = [run('run_8', 'running'), run('run_2', 'completed')]
  expect(mergedRuns(newest, [run('run_5', 'running')], older).map(({ id, state }) => `${id} ${state}`)).toEqual([
    'run_9 running',
    'run_8 completed',
    'run_5 running',
    'run_2 completed',
  ])
})

test('while the run that holds the agent is asked for, the one that was looked at stays, as the list has it, and none that only waits is shown', () => {
  const newest = [run('run_9', 'queued'), run('run_8', 'queued')]
  const waits = { data: null, loading: true }
  const wanted = { chosen: null, active: 'run_2' }
  const known = runsKnown(newest, waits, run('run_1', 'running', began), wanted)
  expect([known.run?.id, known.list.map(({ id }) => id)]).toEqual(['run_1', ['run_9', 'run_8', 'run_1']])
  expect(runsKnown([...newest, run('run_1', 'completed', began)], waits, run('run_1', 'running', began), wanted).run?.state).toBe(
    'completed',
  )
  expect(runsKnown(newest, waits, null, wanted).run).toBeNull()
  const read = { data: run('run_2', 'running', began), loading: false }
  expect(runsKnown(newest, read, run('run_1', 'running', began), wanted)).toEqual({ list: [...newest, read.data], run: read.data })
})
