import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import type { AgentUid, RunId } from '#lib/core/ids'
import type { EventsQuery } from '#lib/core/pages'
import { isEnd } from '#lib/core/run'
import { json } from '#lib/api/answers'
import { agentParams, idParams, page, range, seq, words } from '#lib/api/schemas'
import { requireAgent, requireRun } from '#lib/api/scope'
import { endpoint } from '#lib/api/endpoint'
import { listing, mostBytes } from '#lib/api/listing'
import type { Services } from '#lib/services'
import { checkCursor, cursorProblem, ofAgent, streamEvents } from '#lib/api/stream'
import type { Caller } from '#lib/http/caller'
import { accepts } from '#lib/http/headers'

/** A list that names nothing, as an empty field of a form gives it, leaves nothing out. */
function unlessEmpty<Item>(given: Item[]): Item[] | undefined {
  return given.length === 0 ? undefined : given
}

const query = z.object({
  ...page,
  ...range,
  after: seq.optional(),
  channels: words
    .pipe(z.array(z.enum(['progress', 'control', 'monitor'])))
    .transform(unlessEmpty)
    .optional(),
  types: words.transform(unlessEmpty).optional(),
  named: z.enum(['true', 'false']).default('true'),
})
type Query = z.output<typeof query>

/** The last number the reader saw: the header a browser sends at a reconnect, else `?after=` or `?cursor=`. */
function positionOf(request: Request, given: Query): number | null {
  const header = request.headers.get('last-event-id')
  const text = header ?? given.cursor
  if (text === undefined || text === null || text === '') return given.after ?? null
  if (!/^\d{1,15}$/.test(text))
    throw new BatonError('invalid_cursor', 'Last-Event-ID and cursor are event numbers: whole numbers from the id lines.')
  return Number(text)
}

/** A token may open only what comes after an event; whatever position its bearer asks for. */
function within({ after }: Caller, asked: number | null): number | null {
  return after === undefined ? asked : Math.max(after, asked ?? 0)
}

function checkToken(caller: Caller, agentUid: AgentUid): void {
  if (caller.kind === 'stream' && caller.agentUid !== agentUid)
    throw new BatonError('forbidden', 'The stream token is for another agent or run.')
}

/** What the query leaves out, as the store has it. */
function filterOf({ channels, types, from, to }: Query): Pick<EventsQuery, 'channels' | 'types' | 'from' | 'to'> {
  return {
    ...(channels === undefined ? {} : { channels }),
    ...(types === undefined ? {} : { types }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  }
}

/** Types that are no rows: they are made from the whole text, so whoever wants one of them may still get it from any row. */
const neverStored = /^(?:(?:text|reasoning)_(?:start|delta)|step_reset)$/

/** The query without types where they cannot be asked of the database. */
function stored(given: Query): Query {
  return given.types?.some((type) => neverStored.test(type)) === true ? { ...given, types: undefined } : given
}

async function readEvents(
  services: Services,
  agentUid: AgentUid,
  runId: RunId | null,
  after: number | null,
  given: Query,
): Promise<Response> {
  const { limit } = given
  const answer = await services.store.listEvents({
    agentUid,
    after,
    limit,
    bytes: mostBytes,
    ...(runId === null ? {} : { runId }),
    ...filterOf(given),
  })
  if (!answer.ok) throw cursorProblem(answer)
  const { data: shown, nextCursor } = listing(answer.data, limit, (last) => String(last.seq), answer.more)
  const data = shown.map(({ data: fields, ...event }) => ({
    ...event,
    ...fields,
    seq: event.seq,
    type: event.type,
    channel: event.channel,
  }))
  return json(200, { data, nextCursor, lastSeq: answer.lastSeq }, ofAgent(agentUid))
}

function wantsJson(request: Request): boolean {
  return accepts(request, 'application/json') && !accepts(request, 'text/event-stream')
}

/** GET /api/agents/{id}/events: over all runs of the agent; never 204. */
export const agentEvents = endpoint({
  method: 'GET',
  path: '/api/agents/{id}/events',
  summary: 'Events of an agent as SSE, or as JSON with Accept: application/json',
  access: 'agent-stream',
  params: agentParams,
  query,
  async handler({ services, request, params, query: given, caller }) {
    const agent = await requireAgent(services, caller, params.id)
    checkToken(caller, agent.agentUid)
    const after = positionOf(request, given)
    if (wantsJson(request)) return readEvents(services, agent.agentUid, null, after, given)
    const start = after ?? agent.lastSeq
    await checkCursor(services, agent.agentUid, start)
    return streamEvents(
      { services, request, caller },
      {
        agentUid: agent.agentUid,
        runId: null,
        after: start,
        channels: given.channels ?? null,
        types: given.types ?? null,
        from: given.from,
        to: given.to,
        named: given.named === 'true',
        endsWithRun: false,
      },
    )
  },
})

/** GET /api/runs/{id}/events: from the run's first event, ends after `done`; 204 to a reconnect after the end. */
export const runEvents = endpoint({
  method: 'GET',
  path: '/api/runs/{id}/events',
  summary: 'Events of one run as SSE, or as JSON with Accept: application/json',
  access: 'run-stream',
  params: idParams,
  query,
  async handler({ services, request, params, query: given, caller }) {
    const { run } = await requireRun(services, caller, params.id)
    checkToken(caller, run.agentUid)
    const after = positionOf(request, given)
    if (wantsJson(request)) return readEvents(services, run.agentUid, run.id, within(caller, after), given)
    const start = within(caller, after) ?? Math.max(0, (run.firstSeq ?? run.lastSeq + 1) - 1)
    await checkCursor(services, run.agentUid, start)
    if (after !== null && isEnd(run.state)) {
      const rest = await services.store.listEvents({
        agentUid: run.agentUid,
        runId: run.id,
        after: start,
        limit: 1,
        ...filterOf(stored(given)),
      })
      if (rest.ok && rest.data.length === 0) return new Response(null, { status: 204 })
    }
    return streamEvents(
      { services, request, caller },
      {
        agentUid: run.agentUid,
        runId: run.id,
        after: start,
        channels: given.channels ?? null,
        types: given.types ?? null,
        from: given.from,
        to: given.to,
        named: given.named === 'true',
        endsWithRun: true,
      },
    )
  },
})
