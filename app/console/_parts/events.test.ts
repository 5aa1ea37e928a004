import { afterEach, expect, test, vi } from 'vitest'
import { createFrameParser, follow, type StreamFrame } from '#app/console/_parts/events'
import { nextText, type LiveText } from '#app/console/_parts/agent/use-live'

afterEach(() => vi.unstubAllGlobals())

const frame = (seq: number | null, type: string, more: object = {}): string =>
  `${seq === null ? '' : `id: ${seq}\n`}event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`

test('frames come whole, wherever the network has cut them; comments are none', () => {
  const text = `retry: 1000\n\n: heartbeat\n\n${frame(3, 'usage')}${frame(null, 'text_delta', { text: 'a\nb' })}`
  for (let cut = 1; cut < text.length; cut++) {
    const seen: StreamFrame[] = []
    const parse = createFrameParser((one) => seen.push(one))
    parse(text.slice(0, cut))
    parse(text.slice(cut))
    expect(seen.map(({ seq, type }) => [seq, type])).toEqual([
      [3, 'usage'],
      [null, 'text_delta'],
    ])
    expect(seen[1]?.data['text']).toBe('a\nb')
  }
})

test('after a break the reader comes back with the last number it saw; a number that is gone skips to what is kept', async () => {
  const asked: (string | undefined)[] = []
  const answers = [
    () => new Response(frame(5, 'usage') + frame(6, 'usage')),
    () => Response.json({ code: 'cursor_expired', oldestSeq: 40 }, { status: 410 }),
    () => new Response(frame(40, 'done')),
    () => Response.json({ code: 'agent_not_found' }, { status: 404 }),
  ]
  vi.stubGlobal('fetch', (_path: string, init: { headers: Record<string, string> }) => {
    asked.push(init.headers['last-event-id'])
    return Promise.resolve(answers.shift()?.())
  })
  const seen: (number | null)[] = []
  let gaps = 0
  await follow({
    path: '/api/agents/a/events',
    after: 4,
    signal: new AbortController().signal,
    onFrame: ({ seq }) => seen.push(seq),
    onLive: () => undefined,
    onGap: () => (gaps += 1),
  })
  expect(asked).toEqual(['4', '6', '39', '40'])
  expect([seen, gaps]).toEqual([[5, 6, 40], 1])
})

test('the same id may be of another agent after a deletion: it is shown from its first event, and not from where the old one was', async () => {
  const asked: (string | undefined)[] = []
  const of = (agentUid: string, text: string) => () => new Response(text, { headers: { 'x-baton-agent-uid': agentUid } })
  const answers = [
    of('one', frame(1, 'usage') + frame(2, 'done')),
    of('two', frame(3, 'usage')),
    of('two', frame(1, 'usage')),
    of('two', frame(2, 'done')),
    () => Response.json({ code: 'agent_not_found' }, { status: 404 }),
  ]
  vi.stubGlobal('fetch', (_path: string, init: { headers: Record<string, string> }) => {
    asked.push(init.headers['last-event-id'])
    return Promise.resolve(answers.shift()?.())
  })
  const seen: (number | string | null)[] = []
  await follow({
    path: '/api/agents/a/events',
    after: 0,
    signal: new AbortController().signal,
    onFrame: ({ seq }) => seen.push(seq),
    onLive: () => undefined,
    onGap: () => seen.push('gap'),
  })
  expect(asked).toEqual(['0', '2', '0', '1', '2'])
  expect(seen).toEqual([1, 2, 'gap', 1, 2])
})

test('overlapping deltas are taken once, and a step that is repeated begins anew', () => {
  const delta = (offset: number, text: string, step = 1): StreamFrame => ({
    seq: null,
    type: 'text_delta',
    data: { runId: 'r', step, offset, text },
  })
  const after = (...frames: StreamFrame[]): LiveText | null => frames.reduce<LiveText | null>(nextText, null)
  expect(after(delta(0, 'Good '), delta(5, 'day'))?.text).toBe('Good day')
  expect(after(delta(0, 'Good '), delta(0, 'Good day'), delta(5, 'day'))?.text).toBe('Good day')
  expect(after(delta(0, 'Good'), { seq: null, type: 'step_reset', data: { runId: 'r', step: 1 } })).toBeNull()
  expect(after(delta(0, 'Good'), delta(0, 'Next', 2))?.text).toBe('Next')
})
