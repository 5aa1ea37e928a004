import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, startGuarded } from '#tests/access/kit'
import { begin, echo, letters, slow } from './native-kit'
import type { World } from '#tests/world'

/** The plainest client: JSON and nothing else. */
const life = { BATON_MAX_DURATION_MS: '10000', BATON_HARD_MARGIN_MS: '5000', BATON_LEASE_MS: '3000' }
const admin = bearer(adminKey)

let world: World
beforeAll(async () => {
  world = await startGuarded({ env: life })
})
afterAll(() => world.close())

interface Run {
  state: string
  output: string | null
  endedAt: string | null
  slices: number
}
type Part = { type: string; text?: string }

/** GET with the key; null where the server is away. */
async function get<T>(path: string): Promise<T | null> {
  try {
    const answer = await fetch(world.base() + path, { headers: admin, signal: AbortSignal.timeout(40_000) })
    return answer.ok ? ((await answer.json()) as T) : null
  } catch {
    // It is being started again: the next look finds it.
    return null
  }
}

/** Looks with a long poll until the run has ended; answers what it was and how often it was asked. */
async function ended(runId: string): Promise<{ run: Run; polls: number }> {
  for (let polls = 1; polls < 100; polls += 1) {
    const run = await get<Run>(`/api/runs/${runId}?wait=20`)
    if (run !== null && run.endedAt !== null) return { run, polls }
    if (run === null) await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(`run ${runId} has not ended`)
}

/** The last text of the conversation, as its rows have it. */
async function lastText(agent: string): Promise<string> {
  const { data } = (await get<{ data: { role: string; content: string | Part[] }[] }>(`/api/agents/${agent}/messages?limit=200`)) ?? {
    data: [],
  }
  const content = data.findLast(({ role }) => role === 'assistant')?.content ?? ''
  return typeof content === 'string' ? content : content.flatMap((part) => (part.type === 'text' ? [part.text ?? ''] : [])).join('')
}

async function expectSame(agent: string, run: Run, text: string): Promise<void> {
  expect(run.state).toBe('completed')
  expect(Buffer.from(run.output ?? '')).toEqual(Buffer.from(text))
  expect(Buffer.from(await lastText(agent))).toEqual(Buffer.from(text))
}

test('function deadline in mid-answer: the run and the messages have the same text', async () => {
  const { runId } = await begin(world, 'poll', [{ ...slow(12, 200), ...echo }, { ...slow(12, 200), ...echo }, slow(15, 200)], admin)
  const { run, polls } = await ended(runId)
  await expectSame('poll', run, letters(15).join(''))
  expect(polls).toBeLessThan(8)
})

test('the main job answers 202 at the deadline; the poller finishes with what its links name', async () => {
  const body = { message: JSON.stringify({ script: [slow(20, 150)] }), template: 'scripted', limits: { sliceMs: 1_000 } }
  const sent = await world.http('POST', '/api/agents/poll-202/messages', body, { ...admin, prefer: 'wait=1' })
  expect(sent.status).toBe(202)
  expect(sent.body).toMatchObject({ status: 'processing' })
  const { run } = await ended(String(sent.body['runId']))
  await expectSame('poll-202', run, letters(20).join(''))
})

test('the server is killed in mid-answer: the poller finds it again, and the text is whole', async () => {
  const gate = world.gate()
  const { runId } = await begin(world, 'poll-kill', [{ ...slow(20, 50), gate: gate.file }], admin)
  const over = ended(runId)
  while ((await get<Run>(`/api/runs/${runId}`))?.state !== 'running') await new Promise((resolve) => setTimeout(resolve, 50))
  await world.stack.kill('server-0')
  await gate.open()
  const { run } = await over
  await expectSame('poll-kill', run, letters(20).join(''))
  expect(run.slices).toBeGreaterThan(1)
})

test('an ETag saves the answer of a run that has not changed', async () => {
  const { runId } = await begin(world, 'poll-etag', [{ text: 'short' }], admin)
  await ended(runId)
  const path = `${world.base()}/api/runs/${runId}`
  const first = await fetch(path, { headers: admin })
  const again = await fetch(path, { headers: { ...admin, 'if-none-match': first.headers.get('etag') ?? '' } })
  expect([first.status, again.status]).toEqual([200, 304])
})
