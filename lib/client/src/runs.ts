import { linked, sleep } from '#client/backoff'
import { BatonError } from '#client/errors'
import type { BatonEvent, Channel, EventType, RunState } from '#client/events'
import { follow, stoppable } from '#client/follow'
import { pathOf, type Api, type CallOptions } from '#client/http'
import { listOf, type ListOptions, type Pages } from '#client/pages'
import { isPaused } from '#client/sent'
import { askedFor } from '#client/filter'
import type { Agent, Run, RunDetails } from '#client/types'

/** Filters of lists of runs. */
export interface RunFilter extends ListOptions {
  state?: RunState
  stopReason?: string
  template?: string
  user?: string
  from?: string
  to?: string
  order?: 'asc' | 'desc'
}

/** Which events, and from where. */
export interface EventOptions {
  signal?: AbortSignal
  /** The last number that was seen. */
  after?: number
  channels?: readonly Channel[]
  types?: readonly EventType[]
}

/** How long to wait for a run. */
export interface WaitOptions {
  signal?: AbortSignal
  /** Rejects with `timeout` after so many milliseconds; the run goes on. */
  timeoutMs?: number
  /** True: goes on waiting while the run is paused for somebody. */
  untilEnded?: boolean
}

/** Runs: the work that one message starts. */
export interface Runs {
  get(id: string, options?: CallOptions): Promise<RunDetails>
  list(filter?: RunFilter): Pages<Run>
  /** The run when it has ended, however it did, or is paused for somebody. */
  wait(id: string, options?: WaitOptions): Promise<RunDetails>
  /** `stopped` where the run has ended as cancelled; false where its executor has only been asked, or it had ended before. */
  cancel(id: string, options?: CallOptions & { reason?: string }): Promise<{ stopped: boolean; run: Run | null }>
  /** A new run from the committed history of one that has ended. */
  retry(id: string, options?: CallOptions): Promise<Run>
  /** From the run's first event (or after `after`) to its `done`, over breaks and restarts. */
  events(id: string, options?: EventOptions): AsyncIterable<BatonEvent>
  /** An address with a read-only token for 15 minutes, for EventSource and other readers that cannot send headers. */
  streamUrl(id: string, options?: CallOptions & Pick<EventOptions, 'channels' | 'types'> & { named?: boolean }): Promise<string>
}

const runPath = (id: string): string => `/api/runs/${encodeURIComponent(id)}`
const longestPollS = 20
/** Beyond the wait that was asked for. */
const answerMs = 30_000
/** Between two looks that are answered at once. */
const shortestPollMs = 1_000

/** The runs of a deployment. */
export function runsOf(api: Api): Runs {
  async function wait(id: string, { signal, timeoutMs, untilEnded = false }: WaitOptions = {}): Promise<RunDetails> {
    const until = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs
    for (;;) {
      const began = Date.now()
      const left = Math.max(0, Math.min(longestPollS, (until - began) / 1_000))
      const request = { query: { wait: left.toFixed(3) }, timeoutMs: left * 1_000 + answerMs, ...(signal && { signal }) }
      const run = await api.json<RunDetails>('GET', runPath(id), request)
      if (run.endedAt !== null || (!untilEnded && isPaused(run))) return run
      if (Date.now() >= until)
        throw new BatonError(`The run has not ended in ${timeoutMs} ms: ${run.explain}`, {
          code: 'timeout',
          retryable: true,
          problem: { runId: id, agentId: run.agentId },
        })
      await sleep(Math.max(0, Math.min(until, began + shortestPollMs) - Date.now()), signal)
    }
  }

  return {
    wait,
    get: (id, call) => api.json('GET', runPath(id), call),
    list: (filter) => listOf(api, '/api/runs', filter),
    cancel: (id, { reason, ...call } = {}) => api.json('POST', `${runPath(id)}/cancel`, { ...call, body: { ...(reason && { reason }) } }),
    retry: (id, call) => api.json('POST', `${runPath(id)}/retry`, { ...call, repeatable: false }),
    events: (id, options = {}) => ({
      [Symbol.asyncIterator]: () => eventsAt(api, `${runPath(id)}/events`, options),
    }),
    async streamUrl(id, options) {
      const { links } = await api.json<RunDetails>('GET', runPath(id), options)
      return streamUrl(api, links.events, options)
    },
  }
}

/** The events at a path, from one connection after the other; of an agent, `begin` finds out which one and after what. */
export function eventsAt(
  api: Api,
  path: string,
  { signal: given, ...options }: EventOptions,
  begin?: (call: CallOptions) => Promise<Pick<Agent, 'agentUid' | 'lastSeq'>>,
): AsyncIterableIterator<BatonEvent, void> {
  const { controller, release } = linked(given)
  const { signal } = controller
  async function* events(): AsyncGenerator<BatonEvent, void, undefined> {
    const { after: from, ...wanted } = options
    let after = from
    const { query, passes } = askedFor(wanted)
    let uid: string | null = null
    try {
      // A position from the start: a break before the first event must not lose what came meanwhile.
      if (begin !== undefined && after === undefined) ({ agentUid: uid, lastSeq: after } = await begin({ signal }))
      const open = async (lastEventId: string | null, connection: AbortController): Promise<Response> => {
        const response = await api.open('GET', path, { query, headers: streamHeaders(lastEventId), signal }, connection)
        const told = response.headers.get('x-baton-agent-uid')
        uid ??= told
        if (told === null || told === uid) return response
        throw new BatonError('The agent was deleted and made anew: read its messages, then follow from 0.', {
          code: 'cursor_expired',
          status: 410,
          problem: { oldestSeq: 1 },
        })
      }
      for await (const event of follow({ after, endsWithRun: begin === undefined, signal, open })) if (passes(event)) yield event
    } finally {
      release()
    }
  }
  // Released here, too: a generator that has not begun never comes to its end.
  return stoppable(events(), () => {
    controller.abort()
    release()
  })
}

/** The headers of a stream that goes on after a position. */
export function streamHeaders(lastEventId: string | null): Record<string, string> {
  return { accept: 'text/event-stream', ...(lastEventId === null ? {} : { 'last-event-id': lastEventId }) }
}

/** The whole address of a link, with filters. */
export function streamUrl(
  api: Api,
  link: string,
  { channels, types, named }: Pick<EventOptions, 'channels' | 'types'> & { named?: boolean } = {},
): string {
  return api.url + pathOf(link, { channels, types, named: named === false ? named : null })
}
