import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { agentEvents, runEvents } from '#lib/api/events'
import type { EventsQuery } from '#lib/core/pages'
import { testServices } from '#lib/http/services.fixture'

/* Events of three days: those of the second are asked for. */

const from = '2026-01-02T00:00:00Z'
const to = '2026-01-03T00:00:00Z'
const run = { id: 'run_1', agentUid: 'uid', state: 'completed', firstSeq: 1, lastSeq: 3 }
const data = [1, 2, 3].map((seq) => ({
  seq,
  at: `2026-01-0${seq}T12:00:00Z`,
  channel: 'monitor',
  type: seq === 3 ? 'done' : 'usage',
  runId: run.id,
  step: 1,
  data: {},
}))

function ofThreeDays() {
  const asked: EventsQuery[] = []
  const parts = {
    // Nothing comes after them until the reader leaves.
    clock: {
      ...testServices().clock,
      sleep: (_ms: number, signal?: AbortSignal) => new Promise<void>((done) => signal?.addEventListener('abort', () => done())),
    },
    live: { watch: () => () => undefined },
    store: {
      getAgent: () => Promise.resolve({ ok: true, agent: { agentUid: 'uid', lastSeq: 0 } }),
      getRun: () => Promise.resolve({ ok: true, run }),
      listEvents(query: EventsQuery) {
        asked.push(query)
        const rest = data.filter(({ seq, type }) => seq > (query.after ?? 0) && (query.types?.includes(type) ?? true))
        return Promise.resolve({ ok: true, data: rest, more: false, blockedBy: null, lastSeq: 3 })
      },
    },
  }
  return { asked, parts }
}

const both = [
  { of: 'an agent', endpoint: agentEvents, path: '/api/agents/timed/events' },
  { of: 'a run', endpoint: runEvents, path: '/api/runs/run_1/events' },
]

test.each(both)('a list of the events of $of is asked of the database from an instant and up to one', async ({ endpoint, path }) => {
  const { asked, parts } = ofThreeDays()
  const answer = await ask(endpoint, `${path}?from=${from}&to=${to}`, parts, { headers: { accept: 'application/json' } })
  expect([answer.status, asked]).toMatchObject([200, [{ agentUid: 'uid', from, to }]])
})

test.each(both)('a stream of the events of $of shows those from an instant and up to one', async ({ endpoint, path }) => {
  const { parts } = ofThreeDays()
  const answer = await ask(endpoint, `${path}?after=0&from=${from}&to=${to}`, parts)
  let text = ''
  const decoder = new TextDecoder()
  for await (const piece of answer.body ?? []) {
    text += decoder.decode(piece, { stream: true })
    // The last, shown or told as a position: the stream of an agent goes on behind it.
    if (text.includes('id: 3\n')) break
  }
  expect(text.match(/"seq":\d/g)).toEqual(['"seq":2'])
})

test.each(['channels=', 'types=', 'channels=&types=,'])('an empty list leaves nothing out: %s', async (query) => {
  const { asked, parts } = ofThreeDays()
  const text = await (await ask(runEvents, `/api/runs/run_1/events?${query}`, parts)).text()
  expect(text.match(/"seq":\d/g)).toEqual(['"seq":1', '"seq":2', '"seq":3'])
  await ask(runEvents, `/api/runs/run_1/events?${query}`, parts, { headers: { accept: 'application/json' } })
  expect(asked.at(-1)).not.toHaveProperty('channels')
  expect(asked.at(-1)).not.toHaveProperty('types')
})

test('a reader who wants only some events of a run that has ended is told where it stands, and 204 when it comes back', async () => {
  const { parts } = ofThreeDays()
  const path = '/api/runs/run_1/events?types=usage'
  const text = await (await ask(runEvents, path, parts)).text()
  expect(text.match(/^id: \d+$/gm)).toEqual(['id: 1', 'id: 2', 'id: 3'])
  for (const last of ['2', '3']) expect((await ask(runEvents, path, parts, { headers: { 'last-event-id': last } })).status).toBe(204)
  expect((await ask(runEvents, path, parts, { headers: { 'last-event-id': '1' } })).status).toBe(200)
  // Pieces of text are no rows: they are made from those that are left.
  const pieces = '/api/runs/run_1/events?types=text_delta'
  expect((await ask(runEvents, pieces, parts, { headers: { 'last-event-id': '2' } })).status).toBe(200)
  expect((await ask(runEvents, pieces, parts, { headers: { 'last-event-id': '3' } })).status).toBe(204)
})
