import { z } from 'zod'
import type { UIMessage } from 'ai'
import { BatonError } from '#lib/core/errors'
import { json } from '#lib/api/answers'
import { answerPause } from '#lib/api/chat-answers'
import { answersOf, chatBody, chatUserFields, contentOf, notTaken } from '#lib/api/chat-body'
import { historyOf, isSuperseded } from '#lib/api/chat-history'
import { answerAgain, submit, type Accepted, type ChatContext } from '#lib/api/chat-send'
import { streamChat, streamId } from '#lib/api/chat-stream'
import { chatErrors, readHistory } from '#lib/api/chat-reads'
import { endpoint } from '#lib/api/endpoint'
import { stop } from '#lib/api/runs'
import { agentParams } from '#lib/api/schemas'
import { requireAgent } from '#lib/api/scope'
import { checkCursor } from '#lib/api/stream'
import { checkStreams } from '#lib/http/sse'

/** POST /api/chat: what `useChat` sends. A message of the user, an answer to a pause, or the wish for another answer. */
export const sendChat = endpoint({
  method: 'POST',
  path: '/api/chat',
  summary: 'AI SDK UI: send a message, answer an approval or a client tool, or ask for another answer; streams UI message chunks',
  counts: 'message',
  shapeError: chatErrors,
  body: chatBody,
  userFields: chatUserFields,
  async handler(context) {
    const { body } = context
    const { id, messages, messageId } = body
    checkStreams(context.caller)
    if (id === undefined || id === '') {
      throw new BatonError(
        'chat_id_missing',
        'The body names no chat (id). WorkflowChatTransport as it comes sends none: give it the functions of chatTransport(). Nothing was kept.',
      )
    }
    if (body.trigger === 'regenerate-message') return streamRunOf(context, await answerAgain(context, id))
    const last = messages.at(-1)
    if (last === undefined || last.role === 'system')
      throw notTaken('the last message must be the user’s, or the assistant’s with an answer in it')
    if (last.role === 'assistant') return goOn(context, id, answersOf(last))
    if (typeof messageId === 'string') throw notTaken('a sent message cannot be edited: the history only grows. Send a new message')
    return streamRunOf(context, await submit(context, id, contentOf(last, messages.length - 1)))
  },
})

/** The stream of a run from its first event; of another's run that a message steers, from when it was accepted (steeredRun). */
async function streamRunOf(context: ChatContext, { answer, fresh, headers }: Accepted): Promise<Response> {
  const { services } = context
  const { agentUid, id: runId, firstSeq, lastSeq } = answer.run
  const after = firstSeq === null ? lastSeq : firstSeq - 1
  if (!fresh) await checkCursor(services, agentUid, after)
  return streamChat(context, {
    agentUid,
    runId,
    after,
    reader: answer.reader,
    position: null,
    headers: { ...headers, 'x-workflow-run-id': streamId(runId, null) },
  })
}

/** After an answer to a pause the same message goes on: its stream begins where the pause was. */
async function goOn(context: ChatContext, id: string, answers: Parameters<typeof answerPause>[3]): Promise<Response> {
  const { services, caller } = context
  const { run, after } = await answerPause(services, caller, id, answers)
  const paused = run.state === 'awaiting_approval' || run.wait?.kind === 'external'
  return streamChat(context, {
    agentUid: run.agentUid,
    runId: run.id,
    after,
    goesOn: true,
    position: null,
    ...(paused ? { pausedAt: { seq: run.lastSeq, state: run.state } } : {}),
    headers: { 'x-workflow-run-id': streamId(run.id, after) },
  })
}

/** GET /api/chat/{id}: the history, from the rows. */
export const readChat = endpoint({
  method: 'GET',
  path: '/api/chat/{id}',
  summary: 'AI SDK UI: the messages of a chat as UIMessages with stable ids, and whether it works (then resume the stream) or is paused',
  shapeError: chatErrors,
  params: agentParams,
  query: z.object({ superseded: z.enum(['true', 'false']).default('false') }),
  async handler({ services, params, query, caller }) {
    const agent = await requireAgent(services, caller, params.id)
    const all: UIMessage[] = historyOf(await readHistory(services, caller, agent))
    const messages = query.superseded === 'true' ? all : all.filter((message) => !isSuperseded(message))
    return json(200, { messages, state: agent.state })
  },
})

/** POST /api/chat/{id}/stop: closing the stream never stops a run, this does. */
export const stopChat = endpoint({
  method: 'POST',
  path: '/api/chat/{id}/stop',
  summary: 'AI SDK UI: stop what runs now',
  shapeError: chatErrors,
  params: agentParams,
  body: z.strictObject({ runId: z.string().max(100).optional() }).optional(),
  userFields: ['runId'],
  handler: ({ services, params, body, caller, background }) =>
    stop(
      services,
      caller,
      { agent: params.id, ...(body?.runId === undefined ? {} : { runId: body.runId }) },
      'interrupted',
      null,
      background,
    ),
})
