import { describe, expect, test, vi } from 'vitest'
import { BatonError } from '#client/errors'
import { follow, leavable, stoppable, type Follow } from '#client/follow'
import { sharedLog, type SharedLog } from '#client/shared-log'

const block = (seq: number, type = 'usage', more: object = {}): string =>
  `id: ${seq}\nevent: ${type}\ndata: ${JSON.stringify({ seq, type, channel: 'monitor', runId: 'run_1', step: 1, ...more })}\n\n`

/** A body that ends, breaks or stands still after its text. */
function answer(text: string, after: 'end' | 'break' | 'stand', connection: AbortController): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(`retry: 1\n\n${text}`))
      if (after === 'end') controller.close()
      connection.signal.addEventListener('abort', () => controller.error(new Error('aborted')))
    },
    pull(controller) {
      if (after === 'break') controller.error(new TypeError('terminated'))
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } })
}

type Turn = (connection: AbortController) => Response | Promise<Response>
/** A server that answers each connection in turn, and what it was asked for. */
function server(...turns: Turn[]): { open: Follow['open']; asked: (string | null)[] } {
  const asked: (string | null)[] = []
  const open: Follow['open'] = async (lastEventId, connection) => {
    asked.push(lastEventId)
    const turn = turns[asked.length - 1]
    if (turn === undefined) throw new Error(`connection ${asked.length} was not expected`)
    return turn(connection)
  }
  return { open, asked }
}
async function seqsOf(stream: Follow): Promise<(number | undefined)[]> {
  const seqs: (number | undefined)[] = []
  for await (const { seq } of follow(stream)) seqs.push(seq)
  return seqs
}
const refusal =
  (status: number, more: object = {}): Turn =>
  () =>
    Promise.reject(new BatonError('refused', { code: `http_${status}`, status, ...more }))

/** What the wire says of a fetch that failed. */
const away: Turn = refusal(0, { retryable: true })

describe('follow', () => {
  test('comes back after a break with the last number, and ends with done', async () => {
    const { open, asked } = server(
      (connection) => answer(block(1) + block(2), 'break', connection),
      away,
      refusal(503, { retryable: true, retryAfterMs: 1 }),
      (connection) => answer(block(2) + block(3) + 'id: 5\n\n', 'end', connection),
      (connection) => answer(block(6, 'done') + block(7), 'stand', connection),
    )
    expect(await seqsOf({ open, endsWithRun: true })).toEqual([1, 2, 3, 6])
    expect(asked).toEqual([null, '2', '2', '2', '5'])
  })

  test('ends at 204, and at what will not get better', async () => {
    const ended = server(() => new Response(null, { status: 204 }))
    expect(await seqsOf({ open: ended.open, endsWithRun: true, after: 9 })).toEqual([])
    expect(ended.asked).toEqual(['9'])
    const gone = server((connection) => answer(block(1), 'break', connection), refusal(410))
    await expect(seqsOf({ open: gone.open, endsWithRun: true })).rejects.toMatchObject({ code: 'http_410' })
  })

  test('what is no event stream is refused, not tried for ever', async () => {
    const page = server(() => new Response('<html>', { headers: { 'content-type': 'text/html' } }))
    await expect(seqsOf({ open: page.open, endsWithRun: true })).rejects.toMatchObject({ code: 'invalid_answer' })
    const broken = server((connection) => answer('data: {oops\n\n', 'stand', connection))
    await expect(seqsOf({ open: broken.open, endsWithRun: true })).rejects.toMatchObject({ code: 'invalid_answer' })
  })

  test('a connection that says nothing is given up for another one', async () => {
    const { open, asked } = server(
      (connection) => answer(block(1), 'stand', connection),
      (connection) => answer(block(2, 'done'), 'stand', connection),
    )
    expect(await seqsOf({ open, endsWithRun: true, silenceMs: 500 })).toEqual([1, 2])
    expect(asked).toEqual([null, '1'])
  })

  test('what has been read makes the pauses begin anew: a long run may break as often as it likes', async () => {
    const { open } = server(
      away,
      away,
      (connection) => answer(block(1), 'break', connection),
      away,
      (connection) => answer(block(2, 'done'), 'stand', connection),
    )
    const failures: number[] = []
    const waitMs: Follow['waitMs'] = (_error, count) => {
      failures.push(count)
      return 0
    }
    expect(await seqsOf({ open, endsWithRun: true, waitMs })).toEqual([1, 2])
    expect(failures).toEqual([0, 1, 0, 1])
  })

  test("what is not of the wire is the caller's own failure, unless the stream was there before: then it is tried again", async () => {
    const signedOut: Turn = () => Promise.reject(new Error('please sign in'))
    await expect(seqsOf({ open: server(signedOut).open, endsWithRun: true })).rejects.toThrow('please sign in')
    const { open } = server(
      (connection) => answer(block(1), 'break', connection),
      signedOut,
      (connection) => answer(block(2, 'done'), 'stand', connection),
    )
    expect(await seqsOf({ open, endsWithRun: true, waitMs: () => 0 })).toEqual([1, 2])
  })

  test('an iterator that waits may be left: it ends at once, and what it waited for, too', async () => {
    const stop = new AbortController()
    const { open, asked } = server((connection) => answer('', 'stand', connection))
    const events = stoppable(follow({ open, endsWithRun: true, signal: stop.signal }), () => stop.abort())
    const next = events.next()
    await expect.poll(() => asked.length).toBe(1)
    expect(await events.return?.()).toEqual({ done: true, value: undefined })
    expect(await next).toEqual({ done: true, value: undefined })
  })

  test('an abort ends it with the reason, while it reads and while it waits', async () => {
    for (const turn of [(connection: AbortController) => answer('', 'stand', connection), away]) {
      const stop = new AbortController()
      const { open, asked } = server(turn, turn, turn)
      const failed = seqsOf({ open, endsWithRun: true, signal: stop.signal }).catch((error: unknown) => error)
      await expect.poll(() => asked.length, { interval: 1 }).toBeGreaterThan(0)
      stop.abort(new Error('enough'))
      expect(await failed).toMatchObject({ message: 'enough' })
    }
  })

  test('it is given up when nothing has been heard for long', async () => {
    vi.useFakeTimers()
    try {
      const reading = seqsOf({ open: (_position, connection) => Promise.resolve(away(connection)), endsWithRun: true, giveUpMs: 60_000 })
      const failed = reading.catch((error: unknown) => error)
      await vi.advanceTimersByTimeAsync(120_000)
      expect(await failed).toMatchObject({ code: 'connection_lost', retryable: true })
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a reader who was away for longer than a stream is tried', () => {
  const fakeClock = <T>(body: () => Promise<T>): Promise<T> => {
    vi.useFakeTimers({ toFake: ['Date'] })
    return body().finally(() => vi.useRealTimers())
  }
  const sleepsAndLoses: Turn = (connection) => {
    setTimeout(() => {
      vi.setSystemTime(Date.now() + 11 * 60_000)
      connection.abort()
    })
    return answer(block(1), 'stand', connection)
  }
  const goesOn: Turn = (connection) => answer(block(2, 'done'), 'stand', connection)

  test('a computer that slept tries again when it wakes: the time counts from the first failure', () =>
    fakeClock(async () => {
      const { open, asked } = server(sleepsAndLoses, away, goesOn)
      expect(await seqsOf({ open, endsWithRun: true })).toEqual([1, 2])
      expect(asked).toEqual([null, '1', '1'])
    }))

  test('a computer whose connection breaks as it falls asleep, and that has no network yet when it wakes, tries again', () =>
    fakeClock(async () => {
      const asleep: Turn = (connection) => {
        vi.setSystemTime(Date.now() + 8 * 3_600_000)
        return away(connection)
      }
      const { open, asked } = server((connection) => answer(block(1), 'break', connection), asleep, asleep, goesOn)
      expect(await seqsOf({ open, endsWithRun: true, waitMs: () => 0 })).toEqual([1, 2])
      expect(asked).toEqual([null, '1', '1', '1'])
    }))

  test('who leaves a stream finds it again later', () =>
    fakeClock(async () => {
      const { open } = server((connection) => answer(block(1), 'stand', connection), goesOn)
      const { events, leave, come } = leavable({ open, endsWithRun: true })
      expect((await events.next()).value).toMatchObject({ seq: 1 })
      leave()
      vi.setSystemTime(Date.now() + 11 * 60_000)
      come()
      expect((await events.next()).value).toMatchObject({ seq: 2 })
    }))

  test('what has been heard between two failures makes the time begin anew', () =>
    fakeClock(async () => {
      const later =
        (turn: Turn): Turn =>
        (connection) => {
          vi.setSystemTime(Date.now() + 6 * 60_000)
          return turn(connection)
        }
      const lost = later(away)
      const heard = later((connection) => answer(block(1), 'break', connection))
      const { open } = server(lost, heard, lost, goesOn)
      expect(await seqsOf({ open, endsWithRun: true, waitMs: () => 0, giveUpMs: 90_000 })).toEqual([1, 2])
    }))
})

describe('several readers of one stream', () => {
  const none = (): void => undefined
  async function take(log: SharedLog<{ seq?: number | undefined }>, most = Number.POSITIVE_INFINITY): Promise<(number | undefined)[]> {
    const seqs: (number | undefined)[] = []
    for await (const { seq } of log.read()) {
      seqs.push(seq)
      if (seqs.length === most) break
    }
    return seqs
  }

  test('each gets all of it, over one connection', async () => {
    const { open, asked } = server((connection) => answer(block(1) + block(2) + block(3, 'done'), 'stand', connection))
    const log = sharedLog(leavable({ open, endsWithRun: true }), none)
    expect(await Promise.all([take(log), take(log)])).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ])
    expect(await take(log)).toEqual([1, 2, 3])
    expect(asked).toHaveLength(1)
  })

  test('the connection is left with the last reader, and taken up by the next', async () => {
    let left = 0
    const { open, asked } = server(
      (connection) => {
        connection.signal.addEventListener('abort', () => (left += 1))
        return answer(block(1) + block(2), 'stand', connection)
      },
      (connection) => answer(block(3, 'done'), 'stand', connection),
    )
    const log = sharedLog(leavable({ open, endsWithRun: true }), none)
    expect(await take(log, 2)).toEqual([1, 2])
    expect(left).toBe(1)
    expect(await take(log)).toEqual([1, 2, 3])
    expect(asked).toEqual([null, '2'])
  })

  test('a stream that nobody reads is left as soon as its run is known, also before its first event, and not before', async () => {
    const { open, asked } = server(
      (connection) => answer('', 'stand', connection),
      (connection) => answer(block(1, 'done'), 'stand', connection),
    )
    const lefts: boolean[] = []
    let known = (): void => undefined
    const opening: Follow['open'] = (position, connection) => {
      connection.signal.addEventListener('abort', () => lefts.push(true))
      return open(position, connection)
    }
    const log = sharedLog(leavable({ open: opening, endsWithRun: true, silenceMs: 300_000 }), none)
    log.prime(new Promise<void>((resolve) => (known = resolve)))
    await expect.poll(() => asked.length).toBe(1)
    const passing = log.read()
    const waiting = passing.next()
    await passing.return?.()
    expect([await waiting, lefts]).toEqual([{ done: true, value: undefined }, []])
    known()
    await expect.poll(() => lefts.length).toBe(1)
    expect(asked).toHaveLength(1)
    expect(await take(log)).toEqual([1])
    expect(asked).toEqual([null, null])
  })

  test('a reader that waits may leave: it ends at once, and the others stay', async () => {
    const { open, asked } = server((connection) => answer(block(1), 'stand', connection))
    let left = 0
    const opening: Follow['open'] = (position, connection) => {
      connection.signal.addEventListener('abort', () => (left += 1))
      return open(position, connection)
    }
    const log = sharedLog(leavable({ open: opening, endsWithRun: true }), none)
    const [one, two] = [log.read(), log.read()]
    expect([(await one.next()).value, (await two.next()).value]).toMatchObject([{ seq: 1 }, { seq: 1 }])
    const [waits, too] = [one.next(), two.next()]
    expect(await one.return?.()).toEqual({ done: true, value: undefined })
    expect([await waits, left]).toEqual([{ done: true, value: undefined }, 0])
    await two.return?.()
    expect([await too, left]).toEqual([{ done: true, value: undefined }, 1])
    expect(asked).toHaveLength(1)
  })

  test('a failure is told to all of them', async () => {
    const { open } = server(refusal(404))
    const told: unknown[] = []
    const log = sharedLog(leavable({ open, endsWithRun: true }), (error) => told.push(error))
    log.prime(Promise.resolve())
    await expect(take(log)).rejects.toMatchObject({ status: 404 })
    await expect(take(log)).rejects.toMatchObject({ status: 404 })
    expect(told).toHaveLength(1)
  })
})
