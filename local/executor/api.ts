import { z } from 'zod'
import { chaosSchema, type Chaos } from '#local/executor/chaos'
import type { ExecutorClock } from '#local/executor/clock'
import type { Events } from '#local/executor/events'
import { checkpointSchema, USE_THE_DEV_SERVER } from '#local/executor/protocol'
import type { Registry } from '#local/executor/registry'
import type { Runs } from '#local/executor/runs'
import { hashedSigningKey, sameSecret } from '#local/executor/signing'

/** A request, read. */
export interface ApiRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Reads the JSON body; throws BodyRefused. */
  readonly json: () => Promise<unknown>
}

/** An answer: a status and a JSON body. */
export interface ApiAnswer {
  readonly status: number
  readonly body: unknown
}

/** The parts behind the API. */
export interface ApiOptions {
  readonly eventKey: string | undefined
  readonly signingKey: string | undefined
  readonly registry: Registry
  readonly runs: Runs
  readonly events: Events
  readonly chaos: Chaos
  readonly clock: ExecutorClock
  /** What GET /state shows. */
  readonly state: () => object
}

const clockSchema = z.strictObject({ offsetMs: z.number().int().min(-3_153_600_000_000).max(3_153_600_000_000) })

/** Answers the part of Inngest's HTTP API that the SDK calls, and the controls of local mode. */
export function createApi(options: ApiOptions): (request: ApiRequest) => Promise<ApiAnswer> {
  const { eventKey, registry, runs, events, chaos, clock } = options
  const bearer = options.signingKey === undefined ? null : `Bearer ${hashedSigningKey(options.signingKey)}`
  const refused = (status: number, error: string): ApiAnswer => ({ status, body: { status, error } })
  const signed = ({ headers }: ApiRequest): boolean => bearer === null || sameSecret(headers['authorization'] ?? '', bearer)

  async function postEvents(request: ApiRequest, key: string): Promise<ApiAnswer> {
    if (eventKey !== undefined && !sameSecret(key, eventKey)) return refused(401, 'Event key not found')
    const read = events.read(await request.json(), request.headers['x-inngest-event-id-seed'])
    if ('error' in read) return refused(read.status, read.error)
    for (const delivery of read.deliveries)
      if (!chaos.pass(delivery)) return refused(503, 'the executor holds as many runs as it can; send again later')
    return { status: 200, body: { status: 200, ids: read.deliveries.map(({ event }) => event.id) } }
  }

  async function postCheckpoint(request: ApiRequest, runId: string): Promise<ApiAnswer> {
    const parsed = checkpointSchema.safeParse(await request.json())
    if (!parsed.success) return refused(400, `not a checkpoint: ${parsed.error.message}`)
    const current = runs.checkpoint(runId, parsed.data.qi_id, parsed.data.steps)
    return current ? { status: 200, body: {} } : refused(409, 'this request is not the one that runs now')
  }

  function getRun(runId: string, part: string): ApiAnswer {
    const run = runs.find(runId)
    if (!run) return refused(404, 'no such run')
    return { status: 200, body: part === 'batch' ? [run.event] : Object.fromEntries(run.steps) }
  }

  async function control(request: ApiRequest): Promise<ApiAnswer | null> {
    const { method, url } = request
    if (method === 'GET' && url.pathname === '/health') return { status: 200, body: { ok: true, functions: registry.functions().size } }
    if (method === 'GET' && url.pathname === '/state') return { status: 200, body: { ...options.state(), chaos: chaos.report() } }
    if (method === 'POST' && url.pathname === '/clock') {
      const parsed = clockSchema.safeParse(await request.json())
      if (!parsed.success) return refused(400, parsed.error.message)
      clock.setOffset(parsed.data.offsetMs)
      return { status: 200, body: { offsetMs: clock.offset(), now: new Date(clock.now()).toISOString() } }
    }
    if (method === 'POST' && url.pathname === '/chaos') {
      const parsed = chaosSchema.safeParse(await request.json())
      return parsed.success ? { status: 200, body: chaos.set(parsed.data) } : refused(400, parsed.error.message)
    }
    return null
  }

  async function inngest(request: ApiRequest): Promise<ApiAnswer> {
    const { method, url } = request
    const parts = url.pathname.split('/').slice(1).map(decodeURIComponent)
    if (method === 'POST' && parts[0] === 'e' && parts.length === 2) return postEvents(request, parts[1] ?? '')
    if (!signed(request)) return refused(401, 'the bearer token is not the hash of the signing key')
    if (method === 'POST' && url.pathname === '/fn/register') {
      const answer = registry.register(await request.json(), url.searchParams.get('deployId'))
      return { status: answer.status, body: answer }
    }
    if (method === 'POST' && parts[0] === 'v1' && parts[1] === 'checkpoint' && parts[3] === 'async')
      return postCheckpoint(request, parts[2] ?? '')
    if (method === 'GET' && parts[0] === 'v0' && parts[1] === 'runs' && (parts[3] === 'actions' || parts[3] === 'batch'))
      return getRun(parts[2] ?? '', parts[3])
    if (parts[0] === 'v0' || parts[0] === 'v1') return refused(501, `${method} ${url.pathname} ${USE_THE_DEV_SERVER}`)
    return refused(404, `there is no ${method} ${url.pathname}`)
  }

  return async (request) => {
    // Only servers talk to the executor; a page in the developer's browser must not.
    if (request.headers['origin'] !== undefined) return refused(403, 'requests from web pages are not answered')
    return (await control(request)) ?? (await inngest(request))
  }
}
