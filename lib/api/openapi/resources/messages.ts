import { isErrorCode, type ErrorCode } from '#lib/core/errors'
import { stopReason } from '#lib/core/run'
import { kodeMessage } from '#lib/api/kode'
import { listMessages } from '#lib/api/conversation'
import { sendMessage } from '#lib/api/messages'
import { json, operation, orElse, page, type Operation, type Resource } from '#lib/api/openapi/describe'
import { eventFrame, exampleEvent } from '#lib/api/openapi/schemas/event'
import { done, exampleDone, exampleMessages, examplePaused, exampleProcessing, message, open } from '#lib/api/openapi/schemas/message'

/** Why an answer to a message may be a problem after the run has begun: its stop reason is the code. */
export const runEnds = stopReason.options.flatMap((reason): ErrorCode[] => (isErrorCode(reason) ? [reason] : []))

/** Why a message is refused before its run begins. */
export const sendProblems: readonly ErrorCode[] = [
  'invalid_agent_id',
  'limit_above_template',
  'override_refused',
  'template_required',
  'template_unknown',
  'template_missing',
  'webhook_refused',
  'agent_busy',
  'agent_not_found',
  'run_not_found',
  'conflict',
  'authority_expired',
  'cursor_expired',
  'idempotency_mismatch',
  'queue_full',
  'lease_lost',
  'body_too_large',
]

const started = ['Location', 'Retry-After', 'Preference-Applied', 'Idempotent-Replayed'] as const
const answers: Operation['answers'] = {
  200: orElse(
    json(done, 'The run has ended well. As a stream: its events from the first one', exampleDone, [
      'Preference-Applied',
      'Idempotent-Replayed',
    ]),
    'text/event-stream',
    eventFrame,
    { id: '30', event: 'text_end', data: exampleEvent },
  ),
  202: json(
    open,
    '`processing`: it goes on, or waits for its turn. `paused`: a person or the outside must answer',
    exampleProcessing,
    started,
  ),
}
const more = {
  problems: [...runEnds, ...sendProblems],
  headers: ['Idempotency-Key', 'Prefer', 'If-Match'],
} as const

/** Messages: the main job. */
export const messages: Resource = {
  tag: 'Messages',
  description: 'Send a message: the agent runs; what does not fit into the request is handed over and goes on.',
  operations: {
    sendMessage: operation(sendMessage, answers, {
      ...more,
      example: { message: 'Where is my order?', template: 'support' },
      description:
        'A run that ended badly answers with a problem whose code is its stop reason, which names `runId`, with `x-should-retry: false`. Closing the connection never stops a run.',
    }),
    listMessages: operation(
      listMessages,
      { 200: page('MessagePage', message, 'The conversation in order, then what waits in the queue', ...exampleMessages) },
      { problems: ['agent_not_found'] },
    ),
    sendKodeMessage: operation(
      kodeMessage,
      { ...answers, 202: json(open, 'It goes on, or waits for somebody', examplePaused, started) },
      { ...more, example: { message: 'Where is my order?', template: 'support' } },
    ),
  },
}
