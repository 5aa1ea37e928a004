import { z } from 'zod'
import type { RunId } from '#lib/core/ids'
import { isEnd, runState, stopReason } from '#lib/core/run'
import type { RunDetails, StopAnswer } from '#lib/core/pages'
import type { Authority, OpenAnswer, Refusal } from '#lib/core/store'
import { json, runBody } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { explain } from '#lib/api/explain'
import { linksOf } from '#lib/api/links'
import { agentParams, idParams, order, page, range } from '#lib/api/schemas'
import { requireAgent, requireRun, authorityOf } from '#lib/api/scope'
import { endpoint } from '#lib/api/endpoint'
import { listing, mostBytes } from '#lib/api/listing'
import { unreadRun } from '#lib/api/unread'
import type { Services } from '#lib/services'
import { waitsBody } from '#lib/api/waits'
import { waitForRun } from '#lib/api/wait'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'
import { sha256Hex } from '#lib/http/json'

const filters = {
  ...page,
  ...range,
  order: order.default('desc'),
  state: runState.optional(),
  stopReason: stopReason.optional(),
  template: z.string().max(64).optional(),
  user: z.uuid().optional(),
}

async function listed(
  services: Services,
  caller: Caller,
  query: z.output<z.ZodObject<typeof filters>>,
  agentUid: string | null,
): Promise<Response> {
  const { limit, cursor, ...rest } = query
  const after = cursor === undefined ? null : decodeCursor('runs', cursor, rest.order)
  const asked = { limit, bytes: mostBytes, after, agentUid: agentUid ?? undefined, ...rest }
  const rows = await services.store.listRuns(authorityOf(services, caller), asked)
  const { data, nextCursor } = listing(rows.data, limit, ({ id }) => encodeCursor('runs', id, rest.order), rows.more)
  return json(200, { data: data.map(runBody), nextCursor })
}

/** GET /api/runs: over all agents, newest first unless order=asc. */
export const listRuns = endpoint({
  method: 'GET',
  path: '/api/runs',
  summary: 'List runs of all agents, newest first',
  query: z.object(filters),
  handler: ({ services, query, caller }) => listed(services, caller, query, null),
})

/** GET /api/agents/{id}/runs */
export const listAgentRuns = endpoint({
  method: 'GET',
  path: '/api/agents/{id}/runs',
  summary: 'List runs of one agent, newest first',
  params: agentParams,
  query: z.object(filters),
  async handler({ services, params, query, caller }) {
    const agent = await requireAgent(services, caller, params.id)
    return listed(services, caller, query, agent.agentUid)
  },
})

/** What changes whenever the answer does, but for times that pass: those of its lease and of its sentence, and the token of its link. */
function versionOf({ now: _now, gateMs: _gateMs, run: { lease, ...run }, ...rest }: RunDetails): string {
  return sha256Hex(JSON.stringify([run, lease === null ? null : [lease.epoch, lease.live], rest])).slice(0, 24)
}

/** A link is good for fifteen minutes: whoever has it for five gets the answer anew. */
const linkMs = 5 * 60_000

/** If-None-Match: weak comparison of how any tag of the list begins, or `*` (RFC 9110, 13.1.2). */
function matches(header: string, begins: string): boolean {
  return header.split(',').some((given) => given.trim() === '*' || given.trim().replace(/^W\//, '').startsWith(begins))
}

const seconds = z.coerce
  .number()
  .pipe(z.number().min(0).max(300))
  .meta({ override: { type: 'number', minimum: 0, maximum: 300 }, description: 'Seconds to wait for the end' })

/** GET /api/runs/{id}: with `wait` a long poll, which answers when the run has ended or, with If-None-Match, when it has changed. */
export const getRun = endpoint({
  method: 'GET',
  path: '/api/runs/{id}',
  summary: 'Read a run; ?wait=20 waits for its end',
  params: idParams,
  query: z.object({ wait: seconds.default(0) }),
  async handler({ services, request, params, query, caller }) {
    const known = request.headers.get('if-none-match')
    const mostMs = services.config.maxDurationMs - services.config.hardMarginMs
    if (query.wait > 0) {
      const until = known === null ? undefined : (read: RunDetails) => isEnd(read.run.state) || !matches(known, `"${versionOf(read)}.`)
      await waitForRun(services, authorityOf(services, caller), params.id, Math.min(query.wait * 1_000, mostMs), request.signal, until)
    }
    const details = await requireRun(services, caller, params.id)
    const etag = `"${versionOf(details)}.${Math.floor(services.clock.now() / linkMs)}"`
    if (known !== null && matches(known, etag)) return new Response(null, { status: 304, headers: { etag } })
    const links = await linksOf(services, details.tenant, { agentUid: details.run.agentUid, runId: details.run.id })
    const { openCalls, webhooks, queuePosition } = details
    const queue = details.run.state === 'queued' ? { queuePosition } : {}
    const waits = await waitsBody(services, details)
    const body = {
      ...runBody(details.run),
      ...queue,
      ...waits,
      lastError: details.run.error,
      explain: explain(details),
      openCalls,
      webhooks,
      links,
    }
    return json(200, body, { etag })
  },
})

const reason = z.strictObject({ reason: z.string().max(500).optional() }).optional()

/** POST /api/runs/{id}/cancel: ends the run, queued ones too; of an ended run it changes nothing. */
export const cancelRun = endpoint({
  method: 'POST',
  path: '/api/runs/{id}/cancel',
  summary: 'Cancel a run',
  params: idParams,
  body: reason,
  userFields: ['reason'],
  handler: ({ services, params, body, caller, background }) =>
    stop(services, caller, { runId: params.id }, 'cancelled', body?.reason ?? null, background),
})

/** POST /api/agents/{id}/interrupt: ends what runs now (or the named run); the agent takes messages as before. */
export const interruptAgent = endpoint({
  method: 'POST',
  path: '/api/agents/{id}/interrupt',
  summary: 'Interrupt the running run of an agent',
  params: agentParams,
  body: z.strictObject({ runId: z.string().max(100).optional(), reason: z.string().max(500).optional() }).optional(),
  userFields: ['runId', 'reason'],
  handler: ({ services, params, body, caller, background }) =>
    stop(
      services,
      caller,
      { agent: params.id, ...(body?.runId === undefined ? {} : { runId: body.runId }) },
      'interrupted',
      body?.reason ?? null,
      background,
    ),
})

/** Asks a run to end, its executor too where it has one (`halt`). Throws BatonError run_not_found, agent_not_found. */
export async function stopRun(
  services: Services,
  caller: Caller,
  target: { agent?: string; runId?: string },
  kind: 'cancelled' | 'interrupted',
  note: string | null,
  background: (work: Promise<unknown>) => void,
): Promise<StopAnswer> {
  const answer = await services.store.stop(authorityOf(services, caller), target, kind, services.redact(note))
  if (!answer.ok) throw refusalError(answer)
  services.dispatch(answer.outbox ?? [])
  if (answer.halt && answer.run !== undefined) background(services.live.halt({ agentUid: answer.agentUid, runId: answer.run.id }))
  return answer
}

/** The same, answered as the native API does: 200 when it has ended, 202 when its executor has been asked. */
export async function stop(
  services: Services,
  caller: Caller,
  target: { agent?: string; runId?: string },
  kind: 'cancelled' | 'interrupted',
  note: string | null,
  background: (work: Promise<unknown>) => void,
): Promise<Response> {
  const answer = await stopRun(services, caller, target, kind, note, background)
  if (answer.run === undefined) return json(200, { stopped: false, run: null })
  // 202: the executor has been asked and ends the run with its next commit or heartbeat. A repeat finds what the first has stopped;
  // a run that had ended otherwise was stopped by nobody.
  return json(answer.halt ? 202 : 200, {
    stopped: answer.run.state === 'cancelled',
    run: runBody(answer.mayRead === true ? answer.run : unreadRun(answer.run)),
  })
}

/** Retries one ended run as `newRunId`, under which a repeat finds it, as it does under the caller's key; a refusal says why not. */
export async function retryOne(
  services: Services,
  authority: Authority,
  run: { runId: string; newRunId: RunId; idempotency?: { key: string; hash: string } | null; agent?: { name: string; after: string } },
): Promise<OpenAnswer | Refusal> {
  const { templates, store } = services
  const request = { ...run, versions: templates.versions, settings: null }
  const answer = await store.retry(authority, request)
  if (answer.ok || answer.code !== 'template_changed') return answer
  return store.retry(authority, { ...request, settings: templates.settings(String(answer['template'])) })
}

/** POST /api/runs/{id}/retry: a new run from the committed history of one that has ended. */
export const retryRun = endpoint({
  method: 'POST',
  path: '/api/runs/{id}/retry',
  summary: 'Go on from the committed history of an ended run',
  params: idParams,
  async handler({ services, params, caller, idempotencyKey }) {
    const newRunId: RunId = services.ids.make('run')
    const idempotency = idempotencyKey === null ? null : { key: idempotencyKey, hash: sha256Hex(`POST /api/runs/${params.id}/retry`) }
    const answer = await retryOne(services, authorityOf(services, caller), { runId: params.id, newRunId, idempotency })
    if (!answer.ok) throw refusalError(answer)
    services.dispatch(answer.outbox)
    const headers = { location: `/api/runs/${answer.run.id}` }
    const run = answer.mayRead ? answer.run : { ...unreadRun(answer.run), retryOf: answer.run.retryOf }
    return json(202, runBody(run), answer.replayed ? { ...headers, 'idempotent-replayed': 'true' } : headers)
  },
})
