import type { AgentUid, RunId } from '#lib/core/ids'
import type { EventsPage, EventsQuery, Store } from '#lib/core/pages'
import type { Clock, Live, LiveFrame, Log } from '#lib/core/ports'
import { BatonError } from '#lib/core/errors'
import { blockedFacts } from '#lib/api/answers'
import { mostBytes } from '#lib/api/listing'
import { Merger, passes, type Filter, type OutFrame } from '#lib/api/reader'
import { shareReads } from '#lib/api/shared-reads'
import { refusalError } from '#lib/engine/open'
import type { SseStream } from '#lib/http/sse'

const pageSize = 200
/** Frames that wait for the database to be read; beyond that deltas are dropped, the whole text comes with its event. */
const mostFrames = 2_000
/** A look at the database when no frame has told of a commit: Redis and this process's hub may both be silent. */
const shortestLookMs = 500
const longestLookMs = 2_000
/** So long a reader stays while the database does not answer; then its stream breaks and it connects again. */
const patienceMs = 20_000

/** What a reader of an event stream wants. */
export interface Follow extends Filter {
  /** The last number the reader saw. */
  after: number
  named: boolean
  /** True: the stream ends after this run's `done`. */
  endsWithRun: boolean
  /** Asked when that run has ended: the run that the stream goes on with, where the message had to get another one. */
  goesOnWith?: () => Promise<RunId | null>
  /**
   * True: it ends also when the run is paused after all that there is, for nothing runs while somebody is asked; and after a `blocked`
   * frame when the run waits behind one that is paused.
   */
  endsPaused?: boolean
  /** Who reads may be told only of runs of its own, by this name: of the one that is paused before it no more than which tools wait. */
  reader?: string | null
  /** It ends as soon as all events up to this number have been shown: nothing runs, and nothing more is to be waited for. */
  endsAt?: number
}

/** What a feed needs of the services. */
export interface FeedServices {
  store: Pick<Store, 'listEvents'>
  live: Pick<Live, 'watch'>
  clock: Clock
  log: Pick<Log, 'warn'>
}

type Out = Pick<SseStream, 'send' | 'retry' | 'position' | 'room' | 'close' | 'closed'>
type Read = (query: EventsQuery) => ReturnType<Store['listEvents']>

const reads = new WeakMap<object, Read>()

function readsOf(store: FeedServices['store']): Read {
  const known = reads.get(store)
  if (known !== undefined) return known
  const fresh: Read = shareReads((query) => store.listEvents(query))
  reads.set(store, fresh)
  return fresh
}

/** Replays from Postgres to a watermark, then follows live, until the stream or the run has ended. Rejects when the cursor expires or the database stays away. */
export async function feed(services: FeedServices, wanted: Follow, stream: Out): Promise<void> {
  const { live, clock } = services
  let follow = wanted
  const merger = new Merger(follow.after)
  const seen: Seen = { paused: false }
  let frames: LiveFrame[] = []
  let woken = new AbortController()
  let look = shortestLookMs
  const unwatch = live.watch(follow.agentUid, (frame) => {
    if (follow.runId !== null && frame.runId !== follow.runId && frame.body.type !== 'committed') return
    if (frames.length < mostFrames) frames.push(frame)
    woken.abort()
  })
  stream.retry(1_000)
  try {
    while (!stream.closed.aborted) {
      const before = new Set(frames)
      woken = new AbortController()
      const page = await readPage(services, follow, merger.cursor, stream.closed)
      if (page === null) return
      if (await showPage(page, merger, follow, stream, seen)) {
        const next = (await follow.goesOnWith?.()) ?? null
        if (next === null) return stream.close()
        follow = { ...follow, runId: next, goesOnWith: () => Promise.resolve(null) }
        continue
      }
      if (page.more) continue
      if (follow.endsPaused === true && seen.paused) return stream.close()
      show(merger.caughtUp(page), follow, stream, clock.now())
      if (follow.endsPaused === true && page.blockedBy !== null) {
        show([blockedFrame(follow.runId, page.blockedBy)], follow, stream, clock.now())
        return stream.close()
      }
      if (follow.endsAt !== undefined && merger.cursor >= follow.endsAt) return stream.close()
      if (page.data.length > 0) look = shortestLookMs
      // What was here before the page and is still ahead of it tells of events that do not exist.
      frames = frames.filter((frame) => !before.has(frame) || !merger.isAhead(frame))
      frames = takeFrames(frames, merger, follow, stream, clock.now())
      while (frames.length === 0 && !stream.closed.aborted) {
        const fresh = new AbortController()
        woken = fresh
        await clock.sleep(untilLook(clock, follow.agentUid, look), AbortSignal.any([fresh.signal, stream.closed]))
        if (!fresh.signal.aborted) {
          look = Math.min(longestLookMs, look * 2)
          break
        }
        frames = takeFrames(frames, merger, follow, stream, clock.now())
      }
    }
  } finally {
    unwatch()
  }
}

/** Shows live frames until one tells of a commit that has not been read yet: it and what follows it come back, for the database comes first. */
function takeFrames(waiting: LiveFrame[], merger: Merger, follow: Follow, stream: Out, now: number): LiveFrame[] {
  const ahead = waiting.findIndex((frame) => merger.isAhead(frame))
  for (const frame of ahead < 0 ? waiting : waiting.slice(0, ahead)) show(merger.live(frame), follow, stream, now)
  return ahead < 0 ? [] : waiting.slice(ahead)
}

function show(out: readonly OutFrame[], follow: Follow, stream: Out, at: number): void {
  for (const frame of out) {
    if (!passes(frame, follow, at)) continue
    stream.send({ event: frame.type, data: frame.data, ...(frame.id === undefined ? {} : { id: frame.id }) })
  }
}

/** What the last state event of the followed run has told. Other events may come after it: a budget's threshold, one of two decisions. */
interface Seen {
  paused: boolean
}

/** True when the run that the stream ends with has ended. Waits for room, so that a reader who reads is never dropped for what is old. */
async function showPage(page: EventsPage, merger: Merger, follow: Follow, stream: Out, seen: Seen): Promise<boolean> {
  merger.know(page)
  let unseen: number | null = null
  for (const event of page.data) {
    const at = Date.parse(event.at)
    for (const frame of merger.event(event)) {
      if (stream.closed.aborted) return false
      await stream.room()
      show([frame], follow, stream, at)
      if (frame.id !== undefined) unseen = passes(frame, follow, at) ? null : frame.id
    }
    if (event.runId !== follow.runId) continue
    if (follow.endsWithRun && event.type === 'done') {
      // Who wants none of the last events comes back with their number all the same, and is told that there is nothing more.
      if (unseen !== null) stream.position(unseen)
      return true
    }
    if (event.type === 'state_changed') seen.paused = event.data['state'] === 'paused'
  }
  // A reader who wants only some types still learns where it stands, so that it does not get texts again when it reconnects.
  if (unseen !== null) stream.position(unseen)
  return false
}

/** Tells that the run waits behind one that is paused. No commit wrote it: it is true while it is sent. */
function blockedFrame(runId: string | null, by: NonNullable<EventsPage['blockedBy']>): OutFrame {
  return { type: 'blocked', data: { channel: 'control', type: 'blocked', runId, step: null, ...blockedFacts(by) } }
}

/** The next page; null when the stream has ended meanwhile. A database that is away for a moment does not break the stream. */
async function readPage(services: FeedServices, follow: Follow, after: number, closed: AbortSignal): Promise<EventsPage | null> {
  const { clock, log, store } = services
  const { agentUid, runId, reader = null } = follow
  const since = clock.monotonic()
  const query = {
    agentUid,
    after,
    limit: pageSize,
    bytes: mostBytes,
    ...(runId === null ? {} : { runId: runId as RunId }),
    ...(reader === null ? {} : { reader }),
  }
  while (!closed.aborted) {
    try {
      const page = await readsOf(store)(query)
      if (!page.ok) throw refusalError(page)
      return page
    } catch (error) {
      const away = error instanceof BatonError && error.code === 'database_unavailable'
      if (!away || clock.monotonic() - since > patienceMs) throw error
      log.warn('an event stream waits for the database', { agentUid, error: error.message })
      await clock.sleep(longestLookMs / 2, closed)
    }
  }
  return null
}

/** Milliseconds to the agent's next look: its readers look together, so that they share the read, and agents look at different times. */
function untilLook(clock: Clock, agentUid: AgentUid, look: number): number {
  const phase = Number.parseInt(agentUid.slice(-6), 16) % longestLookMs
  return Math.ceil(look - ((clock.monotonic() + (Number.isNaN(phase) ? 0 : phase)) % look))
}
