import { BatonError, type Problem } from '#client/errors'
import type { AgentState, BatonEvent } from '#client/events'
import { leavable, type Leavable } from '#client/follow'
import type { Api, CallOptions, OwnRequest } from '#client/http'
import { listOf, type ListOptions, type Pages } from '#client/pages'
import { eventsAt, streamHeaders, streamUrl, type EventOptions, type RunFilter, type Runs } from '#client/runs'
import { isForbidden, sentMessage, type SentMessage, tellsPause } from '#client/sent'
import type { Agent, AgentDetails, CreateAgent, Message, MessageContent, MessageFields, PatchAgent, Run, ToolCall } from '#client/types'

/** How a message is sent. */
export interface MessageOptions extends MessageFields {
  /** Ends the reading and waiting, never the run. */
  signal?: AbortSignal
  /** Your own key for "this message, once": a repeat with it finds the same run for at least 24 h. Made by the client otherwise. */
  idempotencyKey?: string
  /** True: nothing runs in the request; a background executor does all of it. */
  background?: boolean
  /** True: refused with 404 or 412 unless the agent exists. */
  mustExist?: boolean
}

/** Filters of the list of agents; `metadata` compares values as text. */
export interface AgentFilter extends ListOptions {
  template?: string
  state?: AgentState
  prefix?: string
  user?: string
  from?: string
  to?: string
  order?: 'asc' | 'desc'
  metadata?: Record<string, string>
}

/** Agents: durable conversations. */
export interface Agents {
  /** Sends a message, which starts or joins a run; an agent that does not exist is made from `template`. */
  send(id: string, message: MessageContent, options?: MessageOptions): SentMessage
  /** A new agent, or the one that exists with the same body. */
  create(agent: CreateAgent, options?: CallOptions): Promise<Agent>
  get(id: string, options?: CallOptions): Promise<AgentDetails>
  list(filter?: AgentFilter): Pages<Agent>
  /** Metadata is replaced as a whole; webhook null removes it. */
  patch(id: string, patch: PatchAgent, options?: CallOptions): Promise<Agent>
  /** With everything that belongs to it. */
  delete(id: string, options?: CallOptions): Promise<void>
  /** The conversation, oldest first; queued messages last. With `before` the newest page first, each in its order, without the queue. */
  messages(id: string, filter?: ListOptions & { after?: number; before?: number; role?: Message['role'] }): Pages<Message>
  toolCalls(id: string, filter?: ListOptions & { state?: ToolCall['state']; name?: string; runId?: string }): Pages<ToolCall>
  runs(id: string, filter?: RunFilter): Pages<Run>
  /** All events from now on (or after `after`), over all runs; it ends when you leave. */
  events(id: string, options?: EventOptions): AsyncIterable<BatonEvent>
  /** Ends what runs now, or the named run; the agent takes messages as before. `stopped` as `runs.cancel` has it. */
  interrupt(id: string, options?: CallOptions & { runId?: string; reason?: string }): Promise<{ stopped: boolean; run: Run | null }>
  /** An address with a read-only token for 15 minutes, for EventSource and other readers that cannot send headers. */
  streamUrl(id: string, options?: CallOptions & Pick<EventOptions, 'channels' | 'types'> & { named?: boolean }): Promise<string>
}

/** How often who may only send looks whether a run that waits for somebody goes on, in milliseconds. */
const asleepMs = 5_000

/** A message is repeated only for so long after it was sent, in milliseconds, where its events can be had otherwise. */
const keptMs = 3_600_000

/** After so long a message is not posted again, in milliseconds: its key is kept for 24 h, and without it a repeat would be another run. */
const postedMs = 23 * 3_600_000

/** Asks for an answer at once, and that nothing runs in the request. */
const atOnce = { prefer: 'respond-async' }

/** 128 random bits; `crypto.randomUUID` is not there on pages without https. */
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The agents of a deployment. */
export function agentsOf(api: Api, runs: Runs): Agents {
  const path = (id: string, below = ''): string => `/api/agents/${encodeURIComponent(id)}${below}`

  /** The message is sent again until a run is known, always under its key; from then on the run's events are read. */
  function sending(path: string, { headers, ...request }: OwnRequest, sentAt: number, accepted: (runId: string) => void): Leavable {
    const { signal } = request
    const call = signal && { signal }
    let runId: string | null = null
    let mayRead = true
    let told = false
    let asleep = false
    const known = (found: string): void => {
      runId = found
      accepted(found)
    }
    const stream = leavable({
      endsWithRun: true,
      signal,
      // A message that may not have been taken is not insisted on for as long as one whose run is known.
      waitMs(error, failures, usual) {
        if (runId === null && error !== null) return api.waitBefore(error, failures)
        // The stream of a message ends when nothing runs: who may read follows the run's own, which stays.
        return asleep && !mayRead ? Math.max(usual, asleepMs) : usual
      },
      async open(lastEventId, connection) {
        // Only the stream of the message tells of a paused run before its own. Its key is not kept for ever.
        if (runId !== null && mayRead && (told || Date.now() - sentAt > keptMs)) {
          try {
            return await api.open('GET', `/api/runs/${runId}/events`, { headers: streamHeaders(lastEventId), ...call }, connection)
          } catch (error) {
            if (!isForbidden(error)) throw error
            mayRead = false
          }
        }
        // The same message under the same key is the same run, from its first event: also for who may only send.
        const response = await api.open('POST', path, { ...request, headers: { ...headers, ...streamHeaders(null) } }, connection)
        const found = response.headers.get('x-baton-run-id')
        if (found !== null) known(found)
        return response
      },
    })
    async function* events(): AsyncGenerator<BatonEvent, void, undefined> {
      for await (const event of stream.events) {
        // A page of another origin sees the header only where the deployment exposes it.
        if (runId === null && event.runId !== null) known(event.runId)
        told = true
        asleep = tellsPause(event)
        yield event
      }
    }
    return { ...stream, events: events() }
  }

  return {
    send(id, message, options = {}) {
      const { signal, idempotencyKey = newId(), background, mustExist, ...fields } = options
      const call = signal && { signal }
      const to = path(id, '/messages')
      const headers = {
        'idempotency-key': idempotencyKey,
        ...(background === true && atOnce),
        ...(mustExist === true && { 'if-match': '*' }),
      }
      const sentAt = Date.now()
      const about: Problem = { agentId: id }
      const check = (): void => {
        if (Date.now() - sentAt <= postedMs) return
        throw new BatonError(
          'The message was sent long ago and is not sent again: its key is no longer kept, and it would start another run.',
          {
            code: 'connection_lost',
            problem: about,
          },
        )
      }
      const request = { body: { message, ...fields }, headers, check, ...call }
      return sentMessage({
        agentId: id,
        idempotencyKey,
        events: (accepted) =>
          sending(to, request, sentAt, (runId) => {
            about.runId = runId
            accepted(runId)
          }),
        ask: () => api.json('POST', to, { ...request, headers: { ...headers, ...atOnce } }),
        getRun: (runId) => runs.get(runId, call),
        waitRun: (runId) => runs.wait(runId, call),
        cancel: (runId, reason) => runs.cancel(runId, reason === undefined ? {} : { reason }),
      })
    },
    create: ({ id = `agent-${newId()}`, ...agent }, call) => api.json('POST', '/api/agents', { ...call, body: { id, ...agent } }),
    get: (id, call) => api.json('GET', path(id), call),
    list({ metadata = {}, ...filter } = {}) {
      const named = Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value])
      return listOf(api, '/api/agents', { ...filter, ...Object.fromEntries(named) })
    },
    patch: (id, body, call) => api.json('PATCH', path(id), { ...call, body }),
    delete: (id, call) => api.json('DELETE', path(id), call),
    messages: (id, filter) => listOf(api, path(id, '/messages'), filter),
    toolCalls: (id, filter) => listOf(api, path(id, '/tool-calls'), filter),
    runs: (id, filter) => listOf(api, path(id, '/runs'), filter),
    events: (id, options = {}) => ({
      [Symbol.asyncIterator]: () => eventsAt(api, path(id, '/events'), options, (call) => api.json('GET', path(id), call)),
    }),
    // Without a run id a repeat could hit the run after the one that was meant.
    interrupt: (id, { runId, reason, ...call } = {}) =>
      api.json('POST', path(id, '/interrupt'), {
        ...call,
        repeatable: runId !== undefined,
        body: { ...(runId && { runId }), ...(reason && { reason }) },
      }),
    async streamUrl(id, options) {
      const { links } = await api.json<AgentDetails>('GET', path(id), options)
      return streamUrl(api, links.events, options)
    },
  }
}
