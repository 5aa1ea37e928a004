import { expect, test } from 'vitest'
import { follow, type Follow } from '#client/follow'

/** A body that stands after one event and does not hear of its connection's end: Node up to 22, when the server has closed it and a piece is unread. */
function deaf(seq: number | null, type = 'usage'): Response {
  const block = `retry: 1\n\nid: ${seq}\nevent: ${type}\ndata: ${JSON.stringify({ seq, type, channel: 'monitor', runId: 'run_1', step: 1 })}\n\n`
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (seq !== null) controller.enqueue(new TextEncoder().encode(block))
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

test('a body that does not hear of its end holds nobody up who waits for another connection', async () => {
  const asked: (string | null)[] = []
  const open: Follow['open'] = (lastEventId, connection) => {
    asked.push(lastEventId)
    // The second has ended before it is read.
    if (asked.length === 2) connection.abort()
    return Promise.resolve(deaf(asked.length === 2 ? null : asked.length, asked.length === 4 ? 'done' : 'usage'))
  }
  const seqs: (number | undefined)[] = []
  for await (const { seq } of follow({ open, endsWithRun: true, silenceMs: 200, waitMs: () => 0 })) seqs.push(seq)
  expect({ seqs, asked }).toEqual({ seqs: [1, 3, 4], asked: [null, '1', '1', '3'] })
}, 30_000)

test('a body that does not hear of its end holds nobody up who stops reading', async () => {
  const stop = new AbortController()
  const events = follow({ open: () => Promise.resolve(deaf(1)), endsWithRun: true, signal: stop.signal })
  expect((await events.next()).value).toMatchObject({ seq: 1 })
  const next = events.next()
  stop.abort(new Error('enough'))
  await expect(next).rejects.toThrow('enough')
}, 30_000)
