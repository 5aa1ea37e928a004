import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { isEnd } from '#lib/core/run'
import type { RunDetails } from '#lib/core/pages'
import type { RunView } from '#lib/core/store'
import { endedAnswer, factsOf, json, type RunFacts } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { begin, mayReadOf, ownAuthority, waitFor, type Begun, type SendContext } from '#lib/api/messages'
import { openaiError } from '#lib/api/responses-error'
import { contentOf, createResponseBody, responseFields } from '#lib/api/responses-input'
import { headOf, runIdOf, type ResponseHead } from '#lib/api/responses-object'
import { positionOf } from '#lib/api/responses-position'
import { readResponse, responseOfRow, streamResponse } from '#lib/api/responses-read'
import { stopRun } from '#lib/api/runs'
import { requireRun, runBy } from '#lib/api/scope'
import { steeredRun, unreadRun } from '#lib/api/unread'
import type { Services } from '#lib/services'
import { unlessAway, waitForRun } from '#lib/api/wait'
import type { Caller } from '#lib/http/caller'
import type { EndpointContext } from '#lib/http/endpoint'

type CreateContext = EndpointContext<Services, object, object, z.output<typeof createResponseBody>>

/** POST /v1/responses: a message to a conversation, in OpenAI's words. */
export const createResponse = endpoint({
  method: 'POST',
  path: '/v1/responses',
  summary: 'OpenAI Responses: send a message to a conversation; model is the template',
  counts: 'message',
  shapeError: openaiError,
  body: createResponseBody,
  userFields: responseFields,
  handler: (context) => create(context),
})

/** Where the message goes: the agent, and the run that it follows. */
interface Target {
  agentId: string
  previous: RunView | null
  /** True where there may be runs before it that nobody named. */
  mayHavePast: boolean
}

async function targetOf({ services, caller, body }: CreateContext): Promise<Target> {
  const { previous_response_id: previousId, conversation } = body
  if (previousId != null && conversation != null)
    throw wrong('conversation', 'Name either previous_response_id or conversation: the first says which conversation it is.')
  if (previousId != null) {
    const { run: previous } = await named(services, caller, previousId, 'previous_response_id', 'previous_response_not_found')
    return { agentId: previous.agentId, previous, mayHavePast: false }
  }
  if (conversation == null && body.model == null)
    throw wrong('model', "Missing required parameter: 'model', the template of a new conversation.", 'missing_required_parameter')
  if (conversation == null) return { agentId: `conv_${services.ids.uuid().replaceAll('-', '')}`, previous: null, mayHavePast: false }
  return { agentId: typeof conversation === 'string' ? conversation : conversation.id, previous: null, mayHavePast: true }
}

function wrong(param: string, message: string, openaiCode = 'invalid_value'): BatonError {
  return new BatonError('validation', message, { param, openaiCode })
}

/** The run of a response that somebody has named. Throws BatonError run_not_found, also for another's. */
async function named(services: Services, caller: Caller, responseId: string, param: string, openaiCode: string): Promise<RunDetails> {
  const runId = runIdOf(responseId)
  const missing = (): BatonError =>
    new BatonError('run_not_found', `Response with id '${responseId.slice(0, 100)}' not found.`, { param, openaiCode })
  if (runId === null) throw missing()
  try {
    return await requireRun(services, caller, runId)
  } catch (error) {
    if (error instanceof BatonError && error.code === 'run_not_found') throw missing()
    throw error
  }
}

async function create(context: CreateContext): Promise<Response> {
  const { services, body, prefer } = context
  if (body.input === undefined) throw wrong('input', "Missing required parameter: 'input'.", 'missing_required_parameter')
  const target = await targetOf(context)
  const streams = body.stream === true
  const background = body.background === true || prefer.respondAsync
  // OpenAI's callers know no 202: an answer that takes its time is waited for as long as the function may run.
  const mostMs = Math.max(1_000, services.config.maxDurationMs - services.config.hardMarginMs)
  const waitMs = prefer.applied?.includes('wait=') === true ? prefer.waitMs : mostMs
  const sending: SendContext = {
    ...context,
    params: { id: target.agentId },
    prefer:
      background && !prefer.respondAsync
        ? { waitMs: 0, respondAsync: true, applied: null }
        : { ...prefer, waitMs: background ? 0 : waitMs },
    body: {
      message: contentOf(body.input),
      ...(body.model == null ? {} : { template: body.model }),
      ...(body.metadata == null ? {} : { metadata: body.metadata }),
      ...(target.previous === null ? {} : { onBusy: 'reject' as const }),
    },
  }
  const begun = await begin(sending, {
    executes: !background,
    streams,
    agentInBody: true,
    after: target.previous?.id ?? null,
    hashed: body,
  })
  const { answer } = begun.opened
  const { run } = answer
  const previousRunId = target.mayHavePast
    ? (await runBy(services, ownAuthority(context, answer), run.id)).previousRunId
    : (target.previous?.id ?? null)
  const head = headOf(run, { previousRunId, background })
  if (streams) return streamResponse(context, run, await readResponse(services, run, head, null), begun.headers, answer.reader)
  if (background) return answered(services, run, head, factsOf(run), begun.headers)
  const facts = await settled(sending, begun, mostMs)
  const queued = facts.state === 'queued'
  if (facts.runId === run.id) return answered(services, run, { ...head, queued }, facts, begun.headers)
  // The run that the message steered has ended before it could enter: the answer is that of the run which it came to.
  const other = await runBy(services, ownAuthority(context, answer), facts.runId)
  const shown = mayReadOf(begun.opened, other.run.id) ? other.run : steeredRun(other.run, answer.fromSeq)
  const { previousRunId: before } = other
  return answered(services, shown, { ...headOf(shown, { previousRunId: before, background }), queued }, facts, begun.headers)
}

/** What became of the run, waited for also where its slice was handed over. */
async function settled(context: SendContext, begun: Begun, mostMs: number): Promise<RunFacts> {
  const facts = await waitFor(context, begun)
  const { services, request, prefer } = context
  const leftMs = begun.start + Math.min(mostMs, prefer.waitMs) - services.clock.monotonic()
  if (begun.slice === null || isEnd(facts.state) || leftMs <= 0) return facts
  const own = ownAuthority(context, begun.opened.answer)
  const read = await unlessAway(() => waitForRun(services, own, facts.runId, leftMs, request.signal))
  return read === null ? facts : factsOf(read)
}

/** The response object, or the error of a run that has failed while its caller waited. */
async function answered(
  services: Services,
  run: RunView,
  head: ResponseHead,
  facts: RunFacts,
  headers: Record<string, string>,
): Promise<Response> {
  const response = await current(services, run, head)
  if (response['status'] === 'failed' && isEnd(facts.state)) return endedAnswer(facts, headers)
  return json(200, response, headers)
}

const params = z.object({ id: z.string().min(1).max(200) })

/** GET /v1/responses/{id}: as it stands, or as a stream from `starting_after` on. */
export const getResponse = endpoint({
  method: 'GET',
  path: '/v1/responses/{id}',
  summary: 'OpenAI Responses: retrieve a response, or go on with its stream',
  shapeError: openaiError,
  params,
  query: z.object({
    stream: z.enum(['true', 'false']).optional(),
    /** The last sequence_number that the reader saw. */
    starting_after: z
      .string()
      .regex(/^\d{1,16}$/, 'must be a sequence_number')
      .transform(Number)
      .pipe(z.int())
      .optional(),
  }),
  async handler({ services, request, params: { id }, query, caller }) {
    const { run, previousRunId } = await named(services, caller, id, 'response_id', 'response_not_found')
    const head = headOf(run, { previousRunId })
    const { stream, starting_after: after } = query
    if (stream !== 'true') {
      if (after !== undefined) throw wrong('starting_after', 'starting_after goes with stream=true.')
      return json(200, await current(services, run, head))
    }
    const from = after === undefined ? null : positionOf(after)
    return streamResponse({ services, request, caller }, run, await readResponse(services, run, head, from))
  },
})

/** The response as rows tell it, also where the events are gone. */
async function current(services: Services, run: RunView, head: ResponseHead): Promise<Record<string, unknown>> {
  try {
    return (await readResponse(services, run, head, null)).log.response()
  } catch (error) {
    if (error instanceof BatonError && error.code === 'cursor_expired') return responseOfRow(run, head)
    throw error
  }
}

/** How long a cancel waits for the executor to end the run. */
const cancelMs = 5_000

/** POST /v1/responses/{id}/cancel: ends the run; of one that has ended it changes nothing. */
export const cancelResponse = endpoint({
  method: 'POST',
  path: '/v1/responses/{id}/cancel',
  summary: 'OpenAI Responses: cancel a response',
  shapeError: openaiError,
  params,
  async handler({ services, request, params: { id }, caller, background }) {
    const runId = runIdOf(id)
    const missing = new BatonError('run_not_found', `Response with id '${id.slice(0, 100)}' not found.`)
    if (runId === null) throw missing
    const stopped = await stopRun(services, caller, { runId }, 'cancelled', null, background)
    if (stopped.run === undefined) throw missing
    const authority = ownAuthority({ services, caller }, stopped)
    if (stopped.halt) await waitForRun(services, authority, runId, cancelMs, request.signal, ({ run }) => isEnd(run.state))
    const { run, previousRunId } = await runBy(services, authority, runId)
    if (stopped.mayRead !== true) return json(200, responseOfRow(unreadRun(run), headOf(unreadRun(run), { previousRunId: null })))
    return json(200, await current(services, run, headOf(run, { previousRunId })))
  },
})
