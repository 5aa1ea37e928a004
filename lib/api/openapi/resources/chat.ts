import { z } from 'zod'
import { agentState } from '#lib/core/run'
import { readChat, sendChat, stopChat } from '#lib/api/chat'
import { resumeChat } from '#lib/api/chat-resume'
import { json, nothing, operation, type Answer, type Operation, type Resource } from '#lib/api/openapi/describe'
import { exampleProblem, problem } from '#lib/api/openapi/problems'
import { runEnds, sendProblems } from '#lib/api/openapi/resources/messages'
import { exampleStopped, stopped } from '#lib/api/openapi/schemas/stop'
import { exampleIds } from '#lib/api/openapi/schemas/words'

const chunk = z.looseObject({ type: z.string() }).meta({
  id: 'UIMessageChunk',
  description: 'A chunk of the UI message stream of the AI SDK (uiMessageChunkSchema); the last frame is `[DONE]`',
})
const uiMessage = z
  .looseObject({ id: z.string(), role: z.enum(['system', 'user', 'assistant']), parts: z.array(z.looseObject({ type: z.string() })) })
  .meta({ id: 'UIMessage', description: 'A message as useChat holds it' })
const history = z.object({ messages: z.array(uiMessage), state: agentState }).meta({ id: 'ChatHistory' })

const stream: Answer = {
  description: 'The UI message stream, chunk by chunk. It breaks, never closes as a success, where the run goes on',
  content: { 'text/event-stream': { schema: chunk, example: { type: 'text-delta', id: 'text-1', delta: 'Your order ' } } },
  headers: [],
}
const refusal: Operation['refusal'] = {
  content: {
    'text/plain': { schema: z.string(), example: 'agent_busy: The chat still answers: stop it first. Nothing was kept.' },
    'application/problem+json': { schema: problem, example: exampleProblem('agent_busy') },
  },
}
const known = ['agent_not_found', 'run_not_found', 'cursor_expired', 'invalid_cursor'] as const

/** The chat dialect: what useChat of the AI SDK speaks. */
export const chat: Resource = {
  tag: 'AI SDK UI',
  description:
    'The protocol of `useChat`. The chat id is the agent id; refusals are text, or problem documents with Accept: application/json.',
  operations: {
    sendChat: operation(
      sendChat,
      { 200: stream },
      {
        refusal,
        headers: ['Idempotency-Key', 'If-Match'],
        problems: [
          ...sendProblems,
          ...runEnds,
          ...known,
          'chat_id_missing',
          'not_last_run',
          'approval_not_found',
          'already_decided',
          'call_not_found',
          'too_late',
        ],
        example: {
          id: 'support-4711',
          template: 'support',
          messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Where is my order?' }] }],
        },
      },
    ),
    readChat: operation(
      readChat,
      {
        200: json(history, 'The messages, from the rows', {
          messages: [{ id: exampleIds.runId, role: 'assistant', parts: [{ type: 'text', text: 'Your order leaves tomorrow.' }] }],
          state: 'ready',
        }),
      },
      { refusal, problems: ['agent_not_found'] },
    ),
    resumeChat: operation(resumeChat, { 200: stream, 204: nothing('Nothing runs') }, { refusal, problems: known }),
    stopChat: operation(
      stopChat,
      {
        200: json(stopped, 'Nothing runs any more, or nothing ran', exampleStopped),
        202: json(stopped, 'The executor ends the run with its next commit', { ...exampleStopped, stopped: false }),
      },
      { refusal, problems: known },
    ),
  },
}
