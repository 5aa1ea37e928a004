import { afterEach, describe, expect, test, vi } from 'vitest'
import { checkStreams, endAllStreams, maxQueuedBytes, sseResponse } from '#lib/http/sse'
import type { SseOptions, SseStream } from '#lib/http/sse'

afterEach(() => void endAllStreams())

const operator: SseOptions['caller'] = { kind: 'operator', rateKey: 'local' }

function open(options: Partial<SseOptions> = {}): { response: Response; stream: SseStream; errors: unknown[] } {
  const errors: unknown[] = []
  let stream: SseStream | undefined
  const response = sseResponse({
    request: new Request('http://localhost/'),
    caller: operator,
    start: (opened) => {
      stream = opened
    },
    onError: (error) => errors.push(error),
    ...options,
  })
  if (stream === undefined) throw new Error('start was not called')
  return { response, stream, errors }
}

describe('sseResponse', () => {
  test('has the headers that keep proxies from buffering', () => {
    const { response } = open({ headers: { 'x-extra': '1' } })
    expect(Object.fromEntries(response.headers)).toEqual({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'x-extra': '1',
    })
  })

  test('writes events, comments and retry as the standard says', async () => {
    const { response, stream } = open()
    stream.retry(1_000)
    stream.send({ id: 7, event: 'text_end', data: { text: 'a\nb' } })
    stream.send({ data: 'one\r\ntwo\rthree' })
    stream.send({ id: 'x\n\ndata: forged', event: 'e\revent: forged', data: '' })
    stream.comment('hi')
    stream.close()
    expect(await response.text()).toBe(
      'retry: 1000\n\nid: 7\nevent: text_end\ndata: {"text":"a\\nb"}\n\ndata: one\ndata: two\ndata: three\n\nid: xdata: forged\nevent: eevent: forged\ndata: \n\n: hi\n\n',
    )
    expect(stream.closed.aborted).toBe(true)
    stream.send({ data: 'late' })
  })

  test('named: false leaves the event lines out', async () => {
    const { response, stream } = open({ named: false })
    stream.send({ event: 'text_end', data: 1 })
    stream.close()
    expect(await response.text()).toBe('data: 1\n\n')
  })

  test('breakOff sends what is queued and then errors, never a clean end', async () => {
    vi.useFakeTimers()
    try {
      const { response, stream } = open()
      stream.send({ data: 'first' })
      stream.breakOff()
      expect(stream.closed.aborted).toBe(true)
      const reader = response.body?.getReader()
      expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('data: first\n\n')
      let broken = false
      const next = reader?.read().catch(() => {
        broken = true
      })
      await vi.advanceTimersByTimeAsync(100)
      expect(broken).toBe(true)
      await next
    } finally {
      vi.useRealTimers()
    }
  })

  test('no timer outlives its stream: a process that has served many beats for none of them', () => {
    vi.useFakeTimers()
    try {
      const before = vi.getTimerCount()
      const { stream } = open({ lifeMs: 60_000 })
      expect(vi.getTimerCount()).toBe(before + 2)
      stream.close()
      expect(vi.getTimerCount()).toBe(before)
    } finally {
      vi.useRealTimers()
    }
  })

  test('breakOff waits a second at most for a reader that does not read', async () => {
    vi.useFakeTimers()
    try {
      const { response, stream } = open()
      stream.send({ data: 'first' })
      stream.breakOff()
      await vi.advanceTimersByTimeAsync(1_000)
      await expect(response.text()).rejects.toThrow('broken off')
    } finally {
      vi.useRealTimers()
    }
  })

  test('a failing start is told and breaks the stream', async () => {
    const errors: unknown[] = []
    const start = async (): Promise<void> => {
      await Promise.resolve()
      throw new Error('no rows')
    }
    const response = sseResponse({
      request: new Request('http://localhost/'),
      caller: operator,
      start,
      onError: (error) => errors.push(error),
    })
    await expect(response.text()).rejects.toThrow('broken off')
    expect(errors).toEqual([new Error('no rows')])
  })

  test('a heartbeat comes by itself', async () => {
    const { response } = open({ heartbeatMs: 1 })
    const reader = response.body?.getReader()
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(': heartbeat\n\n')
    await reader?.cancel()
  })

  test('where nothing is said of it a heartbeat comes every five seconds: proxies end what is silent', async () => {
    vi.useFakeTimers()
    try {
      const { response, stream } = open()
      await vi.advanceTimersByTimeAsync(10_000)
      stream.close()
      expect(await response.text()).toBe(': heartbeat\n\n: heartbeat\n\n')
    } finally {
      vi.useRealTimers()
    }
  })

  test('lifeMs breaks the stream', async () => {
    const { response } = open({ lifeMs: 1 })
    await expect(response.text()).rejects.toThrow('broken off')
  })

  test('one caller has a share of the streams: a link or a user 100, a key 1,000; what is closed makes room', () => {
    const link: SseOptions['caller'] = { kind: 'stream', rateKey: 'stream:one' }
    const opened = Array.from({ length: 100 }, () => open({ caller: link }))
    expect(() => open({ caller: link })).toThrow('100 streams open')
    expect(() => checkStreams({ kind: 'user', rateKey: 'user:u' })).not.toThrow()
    open({ caller: { kind: 'stream', rateKey: 'stream:two' } })
    // It was looked at before its message was kept, and the message runs.
    open({ caller: link, request: new Request('http://localhost/', { method: 'POST' }) }).stream.close()
    opened[0]?.stream.close()
    open({ caller: link })
    expect(() => checkStreams(link)).toThrow('100 streams open')
    const key: SseOptions['caller'] = { kind: 'key', rateKey: 'key:k' }
    for (let n = 0; n < 1_000; n++) open({ caller: key })
    expect(() => checkStreams(key)).toThrow('1000 streams open')
    for (let n = 0; n < 200; n++) open({ caller: operator })
  })

  test('a process serves 5,000 streams, whoever they are for; what is closed makes room', () => {
    const [first] = Array.from({ length: 5_000 }, () => open())
    for (const kind of ['operator', 'user', 'key', 'stream'] as const)
      expect(() => checkStreams({ kind, rateKey: `${kind}:new` })).toThrow('serves as many streams as it can')
    expect(() => open()).toThrow('serves as many streams as it can')
    first?.stream.close()
    open()
  })

  test('a caller that leaves ends the stream, by signal or by cancelling', async () => {
    const leaving = new AbortController()
    const first = open({ request: new Request('http://localhost/', { signal: leaving.signal }) })
    leaving.abort()
    expect(first.stream.closed.aborted).toBe(true)
    const second = open()
    await second.response.body?.cancel()
    expect(second.stream.closed.aborted).toBe(true)
    expect(open({ request: new Request('http://localhost/', { signal: AbortSignal.abort() }) }).stream.closed.aborted).toBe(true)
    expect(endAllStreams()).toBe(0)
  })

  test('a reader that does not read is dropped at the bound, not buffered for', async () => {
    const { response, stream } = open()
    const data = 'x'.repeat(100_000)
    let sent = 0
    while (!stream.closed.aborted && sent < 100) {
      stream.send({ data })
      sent += 1
    }
    expect(sent * data.length).toBeLessThanOrEqual(maxQueuedBytes + data.length)
    await expect(response.text()).rejects.toThrow('broken off')
  })

  test('room() waits for a slow reader, so that a long replay is not dropped', async () => {
    const data = 'x'.repeat(50_000)
    let peak = 0
    let sent = 0
    const start = async (stream: SseStream): Promise<void> => {
      for (; sent < 100; sent += 1) {
        await stream.room()
        stream.send({ data })
        peak = Math.max(peak, sent)
      }
      stream.close()
    }
    const response = sseResponse({ request: new Request('http://localhost/'), caller: operator, start, onError: () => undefined })
    await vi.waitFor(() => expect(sent).toBeGreaterThan(0), { timeout: 60_000 })
    expect(sent).toBeLessThan(5)
    expect((await response.text()).length).toBe(100 * (data.length + 'data: \n\n'.length))
    expect(peak).toBe(99)
  })

  test('room() does not outlive the stream', async () => {
    const { stream } = open()
    stream.send({ data: 'x'.repeat(100_000) })
    const room = stream.room()
    stream.breakOff()
    await room
  })

  test('endAllStreams breaks every stream of the process', async () => {
    const streams = [open(), open()]
    expect(endAllStreams()).toBe(2)
    for (const { response } of streams) await expect(response.text()).rejects.toThrow('broken off')
    expect(endAllStreams()).toBe(0)
  })
})
