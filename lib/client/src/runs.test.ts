import { expect, test } from 'vitest'
import { createApi } from '#client/http'
import { runsOf } from '#client/runs'

/** Runs over a server that answers each request in turn, and what it was asked. */
function runs(...answers: (object | null)[]) {
  const asked: { method: string; path: string; body: unknown }[] = []
  const fetch: typeof globalThis.fetch = async (url, init) => {
    const body: unknown = typeof init?.body === 'string' ? JSON.parse(init.body) : null
    asked.push({ method: init?.method ?? '', path: (url as string).slice('https://b.example'.length), body })
    const answer = answers[asked.length - 1] ?? null
    if (answer === null) throw new TypeError('fetch failed')
    return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } })
  }
  return { asked, ...runsOf(createApi({ url: 'https://b.example/', key: 'k', fetch })) }
}

test('a retry whose answer was lost is not sent again: it would begin another run', async () => {
  const { asked, retry } = runs(null, { id: 'run_2' })
  await expect(retry('run_1')).rejects.toMatchObject({ code: 'network_error' })
  expect(asked).toEqual([{ method: 'POST', path: '/api/runs/run_1/retry', body: null }])
})

test('a cancel says why where somebody has said it, under the id as it is', async () => {
  const { asked, cancel } = runs({ stopped: true, run: null }, { stopped: true, run: null })
  await cancel('run_1', { reason: 'enough' })
  await cancel('run/2')
  expect(asked.map(({ path, body }) => [path, body])).toEqual([
    ['/api/runs/run_1/cancel', { reason: 'enough' }],
    ['/api/runs/run%2F2/cancel', {}],
  ])
})

test('the address of a stream carries its token and the filters; event names are left out where that is asked for', async () => {
  const run = { links: { events: '/api/runs/run_1/events?token=t' } }
  const { streamUrl } = runs(run, run)
  expect(await streamUrl('run_1', { types: ['done', 'retry'], named: false })).toBe(
    'https://b.example/api/runs/run_1/events?token=t&types=done%2Cretry&named=false',
  )
  expect(await streamUrl('run_1', { named: true, channels: ['control'] })).toBe(
    'https://b.example/api/runs/run_1/events?token=t&channels=control',
  )
})

test('waiting ends with the run, or at its pause unless that is waited through; a time of zero asks once', async () => {
  const paused = { state: 'awaiting_approval', endedAt: null, explain: 'it waits', agentId: 'a' }
  const ended = { state: 'failed', endedAt: '2026-11-22T00:00:00Z' }
  expect(await runs(paused).wait('run_1')).toEqual(paused)
  const through = runs(paused, ended)
  expect(await through.wait('run_1', { untilEnded: true })).toEqual(ended)
  expect(through.asked.map(({ path }) => path)).toEqual(Array(2).fill('/api/runs/run_1?wait=20.000'))
  const once = runs({ ...paused, state: 'running' })
  await expect(once.wait('run_1', { timeoutMs: 0 })).rejects.toMatchObject({
    code: 'timeout',
    retryable: true,
    problem: { runId: 'run_1', agentId: 'a' },
    message: 'The run has not ended in 0 ms: it waits',
  })
  expect(once.asked.map(({ path }) => path)).toEqual(['/api/runs/run_1?wait=0.000'])
})
