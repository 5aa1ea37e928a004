import type { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import type { RunId } from '#lib/core/ids'
import { storable } from '#lib/core/plain'
import type { OpenAnswer, RunView } from '#lib/core/store'
import { notTaken, type chatBody } from '#lib/api/chat-body'
import { regenerateKind } from '#lib/api/chat-history'
import { begin, hashOf, type SendContext } from '#lib/api/messages'
import { retryOne } from '#lib/api/runs'
import { authorityOf, requireAgent, requireRun } from '#lib/api/scope'
import { refusalError } from '#lib/engine/open'
import type { EndpointContext } from '#lib/http/endpoint'
import type { Services } from '#lib/services'

/** What the handler of POST /api/chat is given. */
export type ChatContext = EndpointContext<Services, object, object, z.output<typeof chatBody>>

type Content = SendContext['body']['message']

/** A run that a chat has asked for; `fresh` is false where it may have begun long ago. */
export interface Accepted {
  answer: OpenAnswer
  fresh: boolean
  headers: Record<string, string>
}

/** Sends the message as POST /api/agents/{id}/messages does. */
export function submit(context: ChatContext, id: string, message: Content): Promise<Accepted> {
  const { template, metadata, onBusy, limits } = context.body
  // Not what the client holds of the earlier conversation: a repeat may come with more of it, or with less.
  return send(context, id, message, { hashed: { id, trigger: 'submit-message', message, template, metadata, onBusy, limits } })
}

async function send(
  context: ChatContext,
  id: string,
  message: Content,
  { hashed, after }: { hashed: object; after?: string },
): Promise<Accepted> {
  const { template, metadata, onBusy, limits } = context.body
  const body = {
    message,
    ...(template === undefined ? {} : { template }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(onBusy === undefined ? {} : { onBusy }),
    ...(limits === undefined ? {} : { limits }),
  }
  const once = after === undefined ? {} : { onBusy: 'reject' as const }
  const { opened, slice, headers } = await begin(
    { ...context, params: { id }, body: { ...body, ...once } },
    { executes: true, streams: true, agentInBody: true, hashed, ...(after === undefined ? {} : { after, kind: regenerateKind }) },
  )
  const { answer } = opened
  return { answer, fresh: slice !== null || answer.run.firstSeq === null, headers }
}

/** What stands last in a chat, and why no other answer may take its place. */
interface Shown {
  message: Content
  /** The run that began last. */
  last: RunView
  /** The run that was asked for last: while it is, and the agent was ready, the conversation is as it was read. */
  newest: RunId
  refused: BatonError | null
}

/** So many of the newest runs are looked at for one that began after that of the last message: such a run retries it. */
const newestRuns = 20

async function shown({ services, caller, body }: ChatContext, id: string): Promise<Shown> {
  const { agentUid } = await requireAgent(services, caller, id)
  // In this order: a run that comes after the first read is found under the lock, and one before it has ended when the agent is ready.
  const { data: runs } = await services.store.listRuns(authorityOf(services, caller), {
    limit: newestRuns,
    after: null,
    agentUid,
    order: 'desc',
  })
  const { state } = await requireAgent(services, caller, id)
  const { data } = await services.store.listMessages({ agentUid, role: 'user', before: Number.MAX_SAFE_INTEGER, limit: 1, queue: 0 })
  const [newest, message] = [runs[0], data[0]]
  if (newest === undefined || message === undefined || message.runId === null) throw notTaken('there is no answer yet to take the place of')
  const opened = runs.find((run) => run.id === message.runId) ?? (await requireRun(services, caller, message.runId)).run
  // Not the newest: a message that was cancelled while it waited never began, and one that interrupts begins before the queue.
  const began = runs.filter(({ startedAt }) => startedAt !== null)
  const last = began.reduce((found, run) => ((run.firstSeq ?? 0) > (found.firstSeq ?? 0) ? run : found), opened)
  // What was stored came in by the same schema.
  const content = message.content as Content
  return { message: content, last, newest: newest.id, refused: refusalOf(state, body, { last: last.id, content }) }
}

function refusalOf(
  state: string,
  { messageId, messages }: ChatContext['body'],
  { last, content }: { last: RunId; content: Content },
): BatonError | null {
  if (state !== 'ready') return new BatonError('agent_busy', 'The chat still answers: stop it first. Nothing was kept.')
  // A steered message divides an answer: the part after it has the number of its message behind the run.
  if (messageId?.startsWith('run_') === true && messageId.split('~')[0] !== last)
    return notTaken('only the last answer can be made again: the history only grows')
  // A page that was left open does not know what another one has asked since: it would put that answer under its own question.
  const question = messages.findLast(({ role }) => role === 'user')
  if (question === undefined || saidIn(question.parts) === saidIn(content)) return null
  return new BatonError(
    'not_last_run',
    'The last message of the chat is another one than the one sent along. Load the messages again, or send that one if it was never taken; nothing was kept.',
  )
}

/** The words of a message, whose files may have come by another address. */
function saidIn(content: string | readonly { type: string; text?: unknown }[]): string {
  if (typeof content === 'string') return storable(content)
  return content.map(({ type, text }) => (type === 'text' && typeof text === 'string' ? storable(text) : '')).join('')
}

/**
 * Another answer to the last message: from the committed history of a run that failed, else the message as a new run. Decided under the
 * agent's lock, so that of two who ask at once one is answered. Throws BatonError agent_busy, not_last_run, validation.
 */
export async function answerAgain(context: ChatContext, id: string): Promise<Accepted> {
  const { template, metadata, onBusy, limits, messageId = null } = context.body
  const hashed = { id, trigger: 'regenerate-message', messageId, template, metadata, onBusy, limits }
  const { message, last, newest, refused } = await shown(context, id)
  if (refused !== null && context.idempotencyKey === null) throw refused
  try {
    // No run has this id: only a repeat gets through, for its key is looked at first.
    if (refused !== null) return await send(context, id, message, { hashed, after: '' })
    const retried = last.state === 'completed' ? null : await retry(context, id, { last, newest, hashed })
    return retried ?? (await send(context, id, message, { hashed, after: newest }))
  } catch (error) {
    if (!(error instanceof BatonError) || error.code !== 'not_last_run') throw error
    if (refused !== null) throw refused
    const text = 'The chat has gone on since: a message came, or another answer was asked for, at the same time. Load the messages again'
    throw new BatonError('not_last_run', `${text}; nothing was kept.`, error.details)
  }
}

/** The run goes on as a new one; null where its history ends with an answer, so that there is nothing to go on from. */
async function retry(
  { services, caller, request, idempotencyKey }: ChatContext,
  id: string,
  { last, newest, hashed }: { last: RunView; newest: RunId; hashed: object },
): Promise<Accepted | null> {
  const answer = await retryOne(services, authorityOf(services, caller), {
    runId: last.id,
    newRunId: services.ids.make('run') satisfies RunId,
    agent: { name: id, after: newest },
    idempotency: idempotencyKey === null ? null : { key: idempotencyKey, hash: hashOf(request, hashed) },
  })
  if (!answer.ok) {
    if (answer.code === 'nothing_to_retry') return null
    throw refusalError(answer)
  }
  services.dispatch(answer.outbox)
  return { answer, fresh: !answer.replayed, headers: answer.replayed ? { 'idempotent-replayed': 'true' } : {} }
}
