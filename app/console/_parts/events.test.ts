import { afterEach, expect, test, vi } from 'vitest'
import { createFrameParser, follow, type StreamFrame } from '#app/console/_parts/events'
import { nextText, type LiveText } from '#app/console/_parts/agent/use-live'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

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

/** Streams without a frame, each of which ends after so long or when nobody wants it any more; the instants at which they were asked for, and how many are open. */
function quietStreams(forMs: number): { asked: number[]; open: () => number } {
  const began = Date.now()
  const asked: number[] = []
  const open = new Set<number>()
  vi.stubGlobal('fetch', (_path: string, { signal }: { signal: AbortSignal }) => {
    const n = asked.push(Date.now() - began)
    open.add(n)
    const body = new ReadableStream<Uint8Array>({
      start(stream) {
        const timer = setTimeout(() => (open.delete(n), stream.close()), forMs)
        signal.addEventListener('abort', () => (clearTimeout(timer), open.delete(n) && stream.error(signal.reason)))
      },
    })
    return Promise.resolve(new Response(body))
  })
  return { asked, open: () => open.size }
}

const quiet = { path: '/api/agents/a/events', after: 0, onFrame: () => undefined, onLive: () => undefined, onGap: () => undefined }

test('streams of an agent that does nothing are followed one upon the other, however many end; one that ends at once is waited for', async () => {
  vi.useFakeTimers()
  const left = new AbortController()
  const { asked } = quietStreams(12_000)
  void follow({ ...quiet, signal: left.signal })
  await vi.advanceTimersByTimeAsync(40_000)
  expect(asked).toEqual([0, 12_400, 24_800, 37_200])
  left.abort()
  const other = new AbortController()
  const short = quietStreams(100)
  void follow({ ...quiet, signal: other.signal })
  await vi.advanceTimersByTimeAsync(3_000)
  expect(short.asked).toEqual([0, 500, 1_400])
  other.abort()
})

test('a page that nobody looks at gives its stream back after 10 s, and takes it up again when it is shown', async () => {
  vi.useFakeTimers()
  const page = Object.assign(new EventTarget(), { hidden: false })
  const look = (looked: boolean): void => {
    page.hidden = !looked
    page.dispatchEvent(new Event('visibilitychange'))
  }
  const left = new AbortController()
  const { asked, open } = quietStreams(15_000)
  void follow({ ...quiet, signal: left.signal, page })
  look(false)
  await vi.advanceTimersByTimeAsync(2_000)
  look(true)
  await vi.advanceTimersByTimeAsync(14_000)
  expect([asked, open()]).toEqual([[0, 15_400], 1])
  look(false)
  await vi.advanceTimersByTimeAsync(9_999)
  expect(open()).toBe(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(open()).toBe(0)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(asked).toEqual([0, 15_400])
  look(true)
  await vi.advanceTimersByTimeAsync(0)
  expect([asked, open()]).toEqual([[0, 15_400, 86_000], 1])
  left.abort()
})
