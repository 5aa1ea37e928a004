import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { EventsPage, EventsQuery, StoredEvent } from '#lib/core/pages'
import type { LiveFrame } from '#lib/core/ports'
import { BatonError } from '#lib/core/errors'
import { feed, type FeedServices, type Follow } from '#lib/api/feed'
import { agentUid } from '#lib/api/reader.fixture'
import { shareReads } from '#lib/api/shared-reads'
import { systemClock } from '#lib/system/clock'

const event = (seq: number, type = 'usage'): StoredEvent => ({
  seq,
  at: '2026-11-21T00:00:00Z',
  channel: 'progress',
  type,
  runId: 'run_1',
  step: 1,
  data: {},
})
const delta = (afterSeq: number): LiveFrame => ({
  agentUid,
  runId: 'run_1',
  epoch: 1,
  step: 1,
  attempt: 0,
  afterSeq,
  body: { type: 'delta', kind: 'text', part: 0, offset: 0, text: 'x' },
})

/** A feed over a database and a wire that the test holds in its hand. */
function start(options: { follow?: Partial<Follow>; read?: (query: EventsQuery) => Promise<EventsPage>; room?: () => Promise<void> } = {}) {
  const events: StoredEvent[] = []
  const sent: { id?: number; event?: string }[] = []
  const closed = new AbortController()
  const state = { reads: 0, watching: 0, closedCleanly: false, positions: [] as number[] }
  let onFrame: (frame: LiveFrame) => void = () => undefined
  const page = async ({ after, limit }: EventsQuery): Promise<EventsPage> => ({
    ok: true,
    lastSeq: events.length,
    epoch: 1,
    committedSeq: 0,
    activeRunId: null,
    runOpen: null,
    blockedBy: null,
    data: events.filter(({ seq }) => seq > (after ?? 0)),
    more: events.length - (after ?? 0) >= limit,
  })
  const services: FeedServices = {
    clock: systemClock(),
    log: { warn: () => undefined },
    store: {
      listEvents(query) {
        state.reads += 1
        return (options.read ?? page)(query)
      },
    },
    live: {
      watch(_agent, listener) {
        state.watching += 1
        onFrame = listener
        return () => void (state.watching -= 1)
      },
    },
  }
  const done = feed(
    services,
    { agentUid, runId: null, after: 0, named: true, endsWithRun: false, channels: null, types: null, ...options.follow },
    {
      send: (frame) => void sent.push(frame as { id?: number; event?: string }),
      retry: () => undefined,
      position: (id) => void state.positions.push(id),
      room: options.room ?? (() => Promise.resolve()),
      close: () => {
        state.closedCleanly = true
        closed.abort()
      },
      closed: closed.signal,
    },
  )
  return { events, sent, state, done, page, leave: () => closed.abort(), frame: (frame: LiveFrame) => onFrame(frame) }
}

afterEach(() => void vi.useRealTimers())

test('an idle reader looks at the database rarely, and leaves nothing behind', async () => {
  vi.useFakeTimers()
  const reader = start()
  await vi.advanceTimersByTimeAsync(20_000)
  expect(reader.state.reads).toBeGreaterThanOrEqual(10)
  expect(reader.state.reads).toBeLessThanOrEqual(13)
  reader.leave()
  await reader.done
  expect(reader.state.watching).toBe(0)
})

test('a frame that claims events which do not exist costs one look, not an endless loop', async () => {
  vi.useFakeTimers()
  const reader = start()
  await vi.advanceTimersByTimeAsync(0)
  expect(reader.state.reads).toBe(1)
  reader.frame(delta(1_000))
  await vi.advanceTimersByTimeAsync(200)
  expect(reader.state.reads).toBeGreaterThan(1)
  expect(reader.state.reads).toBeLessThan(4)
  expect(reader.sent).toEqual([])
  reader.leave()
  await reader.done
})

test('a page that ended at its bytes is followed by the next one at once, and nothing live is shown before that one', async () => {
  vi.useFakeTimers()
  const reader = start({
    read: async (query) => {
      const page = await reader.page(query)
      if (page.data.length === 3) reader.frame(delta(3))
      return { ...page, data: page.data.slice(0, 1), more: page.data.length > 1 }
    },
  })
  reader.events.push(event(1), event(2), event(3))
  // A look for news would come later.
  await vi.advanceTimersByTimeAsync(5)
  expect(reader.sent.map(({ id, event: type }) => id ?? type)).toEqual([1, 2, 3, 'text_start', 'text_delta'])
  expect(reader.state.reads).toBe(3)
  reader.leave()
  await reader.done
})

test('a run stream shows what a commit has written, closes after done and watches no longer', async () => {
  const reader = start({ follow: { runId: 'run_1', endsWithRun: true } })
  await expect.poll(() => reader.state.reads).toBeGreaterThan(0)
  reader.events.push(event(1), event(2, 'done'))
  reader.frame({ ...delta(2), body: { type: 'committed', seq: 2 } })
  await reader.done
  expect(reader.sent.map(({ id }) => id)).toEqual([1, 2])
  expect(reader.state).toMatchObject({ closedCleanly: true, watching: 0 })
})

test('a run stream ends at a pause, also where something else was told after it; not at a pause that is over, nor at one of another run', async () => {
  const state = (seq: number, now: string, more: Partial<StoredEvent> = {}) => ({
    ...event(seq, 'state_changed'),
    data: { state: now },
    ...more,
  })
  const follow = { runId: 'run_1', endsWithRun: true, endsPaused: true } as const
  const reader = start({ follow })
  reader.events.push(state(1, 'paused'), event(2, 'approval_decided'), state(3, 'working'), state(4, 'paused', { runId: 'run_2' }))
  await expect.poll(() => reader.sent.length).toBe(4)
  expect(reader.state.closedCleanly).toBe(false)
  reader.events.push(state(5, 'paused'), event(6, 'budget'), event(7, 'approval_decided'))
  reader.frame({ ...delta(7), body: { type: 'committed', seq: 7 } })
  await reader.done
  expect(reader.state).toMatchObject({ closedCleanly: true, watching: 0 })
  expect(reader.sent.at(-1)?.id).toBe(7)
})

test('a reader of some types learns its position from what it is not shown', async () => {
  const reader = start({ follow: { types: ['done'] } })
  reader.events.push(event(1, 'done'), event(2), event(3))
  await expect.poll(() => reader.state.positions).toEqual([3])
  expect(reader.sent.map(({ id }) => id)).toEqual([1])
  reader.leave()
  await reader.done
})

test('a database that is away for a moment is waited for; any other failure ends the stream', async () => {
  let failures = 1
  const reader = start({
    read: (query) => (failures-- > 0 ? Promise.reject(new BatonError('database_unavailable', 'away')) : reader.page(query)),
  })
  reader.events.push(event(1))
  await expect.poll(() => reader.sent.length).toBe(1)
  reader.leave()
  await reader.done
  const broken = start({ read: () => Promise.reject(new Error('a fault')) })
  await expect(broken.done).rejects.toThrow('a fault')
  expect(broken.state.watching).toBe(0)
})

test('a database that stays away is asked once a second, and for twenty seconds: then the stream breaks, so that its reader connects again', async () => {
  vi.useFakeTimers()
  const mostReads = 50
  const away = new BatonError('database_unavailable', 'away')
  const reader = start({ read: () => Promise.reject(reader.state.reads > mostReads ? new Error('it asks and asks') : away) })
  onTestFinished(reader.leave)
  let end = 'none'
  reader.done.then(
    () => (end = 'closed'),
    (error: Error) => (end = error.message),
  )
  await vi.advanceTimersByTimeAsync(19_500)
  expect([reader.state.reads, end]).toEqual([20, 'none'])
  await vi.advanceTimersByTimeAsync(2_000)
  expect([reader.state, end]).toMatchObject([{ watching: 0, closedCleanly: false }, 'away'])
  expect(reader.state.reads).toBeLessThanOrEqual(22)
})

test('a reader that does not read holds a bounded number of frames', async () => {
  let open: () => void = () => undefined
  vi.useFakeTimers()
  const reader = start({ room: () => new Promise((resolve) => (open = resolve)) })
  reader.events.push(event(1))
  await vi.advanceTimersByTimeAsync(0)
  expect(reader.state.reads).toBe(1)
  for (let index = 0; index < 5_000; index++)
    reader.frame({ ...delta(0), body: { type: 'delta', kind: 'text', part: 0, offset: index, text: 'x' } })
  open()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(reader.sent.length).toBeGreaterThan(1)
  expect(reader.sent.length).toBeLessThanOrEqual(2_003)
  reader.leave()
  await reader.done
})

test('reads asked for in one turn are one read; one that has been sent is not joined', async () => {
  let reads = 0
  const read = shareReads(async ({ after }: { after: number }) => `${after} ${(reads += 1)}`)
  expect(await Promise.all([read({ after: 1 }), read({ after: 1 }), read({ after: 2 })])).toEqual(['1 1', '1 1', '2 2'])
  expect(await read({ after: 1 })).toBe('1 3')
  const failing = shareReads(() => Promise.reject(new Error('away')))
  await expect(Promise.all([failing({}), failing({})])).rejects.toThrow('away')
})

test('what happened before `from` or from `to` on is not shown, nor live text of now; the reader learns where it stands', async () => {
  vi.useFakeTimers()
  const text = (seq: number): StoredEvent => ({
    ...event(seq, 'text_end'),
    at: `2026-11-21T00:00:0${seq}Z`,
    step: seq,
    data: { text: 'hi' },
  })
  const reader = start({ follow: { from: '2026-11-21T00:00:02Z', to: '2026-11-21T00:00:03.5Z' } })
  reader.events.push(text(1), text(2), text(3), text(4))
  await vi.advanceTimersByTimeAsync(0)
  reader.frame(delta(4))
  await vi.advanceTimersByTimeAsync(0)
  expect(reader.sent.map(({ id, event: type }) => id ?? type)).toEqual(['text_start', 'text_delta', 2, 'text_start', 'text_delta', 3])
  expect(reader.state.positions).toEqual([4])
  reader.leave()
  await reader.done
})
