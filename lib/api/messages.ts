import type { z } from 'zod'
import { BatonError, reasonOf } from '#lib/core/errors'
import { isEnd } from '#lib/core/run'
import type { RunId } from '#lib/core/ids'
import type { Authority, OpenRequest } from '#lib/core/store'
import { blockedFacts, endedAnswer, factsOf, openAnswer, pausedAnswer, type RunFacts } from '#lib/api/answers'
import { deadlinesFrom } from '#lib/engine/deadlines'
import { linksOf } from '#lib/api/links'
import { narrowingOf } from '#lib/api/overrides'
import { agentParams, sendMessageBody } from '#lib/api/schemas'
import { endpoint } from '#lib/api/endpoint'
import type { Services } from '#lib/services'
import { authorityOf } from '#lib/api/scope'
import { waitsOf } from '#lib/api/waits'
import { streamRun } from '#lib/api/stream'
import { steeredRun } from '#lib/api/unread'
import { unlessAway, waitForRun } from '#lib/api/wait'
import { openMessage, type OpenedMessage } from '#lib/engine/open'
import { startSlice, type Slice } from '#lib/engine/slices'
import type { EndpointContext } from '#lib/http/endpoint'
import { accepts } from '#lib/http/headers'
import { canonicalJson, sha256Hex } from '#lib/http/json'
import { readIfMatchAny } from '#lib/http/prefer'
import { checkStreams } from '#lib/http/sse'
import { takeFromAgent } from '#lib/http/rate'
import { jsonBytes } from '#lib/core/window'

type SendBody = z.output<typeof sendMessageBody>
/** What the main job's handler is given; the KODE alias calls it with the same. */
export type SendContext = EndpointContext<Services, { id: string }, object, SendBody>

/** POST /api/agents/{id}/messages: the main job. */
export const sendMessage = endpoint({
  method: 'POST',
  path: '/api/agents/{id}/messages',
  summary: 'Send a message: run the agent, hand over what does not fit',
  counts: 'message',
  params: agentParams,
  body: sendMessageBody,
  userFields: ['message', 'template', 'metadata', 'onBusy', 'limits'],
  handler: (context) => send(context),
})

/** Accepts the message, runs it as far as the caller waits, and answers (3-http-api, The main job). */
export async function send(context: SendContext): Promise<Response> {
  const { services, request, prefer } = context
  const streams = accepts(request, 'text/event-stream')
  const begun = await begin(context, { executes: !prefer.respondAsync && (streams || prefer.waitMs > 0), streams })
  const { opened, slice, headers } = begun
  const { answer } = opened
  if (streams) {
    const { id: runId, firstSeq, lastSeq } = answer.run
    const goesOnWith = () => otherRun(services, ownAuthority(context, answer), opened)
    const fresh = slice !== null || firstSeq === null
    const { agentUid, reader } = answer
    return streamRun(context, { agentUid, runId, firstSeq, lastSeq, fresh, goesOnWith, reader, headers })
  }
  const facts = await waitFor(context, begun)
  if (isEnd(facts.state)) return endedAnswer(facts, headers)
  const { agentUid, fromSeq: after } = answer
  const links = await linksOf(services, answer.tenant, { agentUid, runId: facts.runId, ...(answer.mayRead ? {} : { after }) })
  const waits = await waitsOf(services, ownAuthority(context, answer), facts, mayReadOf(opened, facts.runId))
  if (waits !== null) return pausedAnswer(facts, waits, links, headers)
  const { blockedBy } = answer
  return openAnswer(facts, links, headers, facts.state !== 'queued' || blockedBy === null ? {} : blockedFacts(blockedBy))
}

/** How a message is sent: whether this process executes it, and what a dialect knows beside the native body. */
export interface Sending {
  executes: boolean
  /** The caller is streamed to, so that the slice may last as long as the function. */
  streams: boolean
  /** Accepted only while this is the agent's last run. */
  after?: string | null
  /** What an Idempotency-Key stands for, where it is not the native body. */
  hashed?: unknown
  /** The path does not name the agent, so that its limits have not been asked yet. */
  agentInBody?: true
  /** The kind of the message where the body says none. */
  kind?: string
}

/** A message that was accepted, its slice where this process executes it, and the headers that every answer to it carries. */
export interface Begun {
  opened: OpenedMessage
  slice: Slice | null
  headers: Record<string, string>
  /** When the request began, on the monotonic clock. */
  start: number
}

/** The one way a message comes in, whatever its dialect: accepts it and starts its slice. Throws BatonError for every refusal. */
export async function begin(context: SendContext, sending: Sending): Promise<Begun> {
  const { services, prefer } = context
  const start = services.clock.monotonic()
  if (sending.streams) checkStreams(context.caller)
  if (sending.agentInBody === true)
    await takeFromAgent(services.rates, authorityOf(services, context.caller), context.params.id, context.background)
  const opened = await accept(context, sending)
  const { answer } = opened
  if (!answer.mayRead) answer.run = steeredRun(answer.run, answer.fromSeq)
  const slice = sending.executes ? runIt(context, opened, start, sending.streams ? null : prefer.waitMs) : null
  const headers: Record<string, string> = {}
  if (answer.replayed) headers['idempotent-replayed'] = 'true'
  if (prefer.applied !== null && !sending.streams) headers['preference-applied'] = prefer.applied
  if (answer.halt) context.background(services.live.halt({ agentUid: answer.agentUid, runId: null }))
  return { opened, slice, headers, start }
}

async function accept(context: SendContext, { executes, after = null, hashed, kind = 'message' }: Sending): Promise<OpenedMessage> {
  const { services, body, params, caller, request, rawBody, idempotencyKey } = context
  const bytes = jsonBytes(body.message)
  if (bytes > services.config.maxMessageBytes) {
    throw new BatonError(
      'body_too_large',
      `A message may have ${services.config.maxMessageBytes} bytes; this one has ${bytes}. Nothing was kept.`,
    )
  }
  const authority = authorityOf(services, caller)
  const narrowing = await narrowingOf(services, authority, { name: params.id, template: body.template ?? null }, body.overrides)
  return openMessage(
    services,
    {
      authority,
      narrowed: narrowing === null || body.overrides === undefined ? null : { overrides: body.overrides, narrowing },
      agentName: params.id,
      template: body.template ?? null,
      mustExist: readIfMatchAny(request.headers) || after !== null,
      after,
      content: body.message,
      kind: body.kind ?? kind,
      metadata: body.metadata ?? {},
      onBusy: body.onBusy ?? null,
      limits: body.limits === undefined ? null : { ...body.limits },
      webhook: sealedWebhook(services, body.webhook),
      traceparent: services.telemetry.traceparent(),
      idempotency:
        idempotencyKey === null || rawBody === null ? null : { key: idempotencyKey, hash: hashOf(request, hashed ?? hashedBody(body)) },
      execute: executes,
    },
    services.ensureTenant,
  )
}

/** The address checked and the secret sealed: it is never stored in the clear and is no part of the idempotency hash. */
export function sealedWebhook(services: Services, webhook: SendBody['webhook']): OpenRequest['run']['webhook'] {
  if (webhook === undefined) return null
  const url = services.checkWebhookAddress(webhook.url).href
  return { url, secret: webhook.secret === undefined ? null : services.sealSecret(webhook.secret) }
}

function hashedBody({ webhook, ...rest }: SendBody): unknown {
  return { ...rest, webhook: webhook?.url ?? null }
}

/** The hash of a request that a key stands for: of its address, and of what is `hashed`. */
export function hashOf(request: Request, hashed: unknown): string {
  return sha256Hex(`${request.method} ${new URL(request.url).pathname} ${canonicalJson(hashed)}`)
}

function runIt(context: SendContext, opened: OpenedMessage, start: number, waitMs: number | null): Slice | null {
  const { services, background } = context
  const { answer, asked, reserve } = opened
  if (answer.opened === undefined || answer.opened === null) return null
  const deadlines = deadlinesFrom(services, start, answer.opened.run.limits.sliceMs, waitMs)
  const slice = startSlice(
    services,
    { opened: answer.opened, opening: answer.opening ?? null, gates: answer.gates ?? {} },
    { asked, deadlines, reserve: reserve === null ? null : { entry: reserve, verdict: answer } },
  )
  background(slice.done.then(() => services.sweep('beside')))
  armDeadMan(services, slice)
  return slice
}

/** A request slice that lasts arms a continuation for the case that its process dies (5-data, Three nets). Losing it loses nothing. */
const deadManAfterMs = 5_000

function armDeadMan(services: Services, slice: Slice): void {
  const { opened, deadlines } = slice.session
  const timer = setTimeout(() => {
    const data = { tenantId: opened.tenantId, agentUid: opened.agentUid, runId: opened.run.id, epoch: opened.lease.epoch }
    const dueInMs = Math.max(0, deadlines.hardAt - services.clock.monotonic()) + opened.lease.leaseMs
    services.queue.send([{ id: `deadman_${opened.lease.sliceId}`, kind: 'continue', data, dueInMs }]).catch((error: unknown) => {
      services.log.warn('the dead-man continuation was not sent; the sweeper covers it', { runId: opened.run.id, error: reasonOf(error) })
    })
  }, deadManAfterMs)
  timer.unref()
  void slice.done.then(() => clearTimeout(timer))
}

/** What the caller is told: the slice's own result, or the row after waiting for a run that somebody else executes. */
export async function waitFor(context: SendContext, { opened, slice, start }: Begun): Promise<RunFacts> {
  const { services, prefer, request } = context
  const { run } = opened.answer
  const facts = factsOf(run)
  const own = ownAuthority(context, opened.answer)
  const left = () => Math.max(0, start + prefer.waitMs - services.clock.monotonic())
  if (slice === null) {
    // Nothing runs while a person is asked: neither does the wait for it.
    if (prefer.respondAsync || prefer.waitMs === 0 || opened.answer.blockedBy !== null) return facts
    const read = await unlessAway(async () => {
      const waited = await waitForRun(services, own, run.id, left(), request.signal)
      const next = isEnd(waited.state) ? await otherRun(services, own, opened) : null
      return next === null ? waited : await waitForRun(services, own, next, left(), request.signal)
    })
    return read === null ? facts : factsOf(read)
  }
  const { deadlines } = slice.session
  const until = Math.min(start + prefer.waitMs, deadlines.sliceAt)
  const timer = new AbortController()
  const waited = services.clock
    .sleep(Math.max(0, until - services.clock.monotonic()), AbortSignal.any([timer.signal, request.signal]))
    .then(() => null)
  const advanced = await Promise.race([slice.done, waited])
  timer.abort()
  // Somebody else has the run now, or its agent was deleted: only the row knows.
  if (advanced?.kind === 'lease_lost') {
    const row = await unlessAway(() => waitForRun(services, own, run.id, left(), request.signal))
    if (row !== null) return factsOf(row)
  }
  if (advanced === null || advanced.kind === 'lease_lost') {
    return {
      ...facts,
      state: 'running',
      lastSeq: slice.session.opened.lastSeq,
      usage: slice.session.opened.run.usage,
      costMicros: slice.session.opened.run.costMicros,
    }
  }
  const { state, stopReason, output, usage, costMicros, lastSeq } = advanced
  return { ...facts, state, stopReason, output, usage, costMicros, lastSeq, error: slice.session.error }
}

/** The run that a steered message has come to where the one that it found at work ended before it could enter; null for any other. */
async function otherRun(services: Services, authority: Authority, { ownRun, answer: { run } }: OpenedMessage): Promise<RunId | null> {
  if (ownRun === null) return null
  const answer = await services.store.getRun(authority, ownRun)
  return answer.ok && answer.run.id !== run.id ? answer.run.id : null
}

/** Whether the caller may be told all of the run that its message has come to: where it may not read, only of its own. */
export function mayReadOf({ ownRun, answer: { reader, mayRead, run } }: OpenedMessage, runId: string): boolean {
  return reader === null || runId === ownRun || (mayRead && runId === run.id)
}

/** The answer to its own message is for who may only send, too; elsewhere reading takes a right of its own. */
export function ownAuthority(
  { services, caller }: Pick<SendContext, 'services' | 'caller'>,
  { tenant, agentUid }: Pick<OpenedMessage['answer'], 'tenant' | 'agentUid'>,
): Authority {
  return { ...authorityOf(services, caller), credential: { stream: { tenant, agentUid } } }
}
