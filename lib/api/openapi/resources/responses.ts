import { z } from 'zod'
import { cancelResponse, createResponse, getResponse } from '#lib/api/responses'
import { json, operation, orElse, type Operation, type Resource } from '#lib/api/openapi/describe'
import { runEnds, sendProblems } from '#lib/api/openapi/resources/messages'
import { exampleResponse, response } from '#lib/api/openapi/schemas/response'

const failure = z
  .object({
    error: z.looseObject({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string(), request_id: z.string() }),
  })
  .meta({ id: 'OpenAIError', description: "An error in OpenAI's shape; codes that OpenAI has under another name come under it" })
const refusal: Operation['refusal'] = {
  content: {
    'application/json': {
      schema: failure,
      example: {
        error: {
          message: "Response with id 'resp_0' not found.",
          type: 'invalid_request_error',
          param: 'response_id',
          code: 'response_not_found',
          request_id: 'req_01936f1e',
        },
      },
    },
  },
  // An unknown template is an unknown model: 404 there.
  alsoStatuses: [404],
}
const event = z
  .looseObject({ type: z.string(), sequence_number: z.int() })
  .meta({ id: 'ResponseStreamEvent', description: 'An event of the Responses stream, as OpenAI documents it' })
const answers: Operation['answers'] = {
  200: orElse(
    json(response, 'The response as it stands; as a stream its events', exampleResponse, ['Idempotent-Replayed']),
    'text/event-stream',
    event,
    {
      type: 'response.output_text.delta',
      sequence_number: 31_457_281,
      item_id: 'msg_0',
      output_index: 0,
      content_index: 0,
      delta: 'Your order ',
    },
  ),
}

/** The Responses dialect: what the openai clients speak. */
export const responses: Resource = {
  tag: 'OpenAI Responses',
  description:
    'The protocol of the `openai` clients: `model` is the template. A field that is not supported is refused by name, never ignored.',
  operations: {
    createResponse: operation(createResponse, answers, {
      refusal,
      headers: ['Idempotency-Key', 'Prefer', 'If-Match'],
      problems: [...sendProblems, ...runEnds, 'not_last_run'],
      example: { model: 'support', input: 'Where is my order?' },
    }),
    getResponse: operation(getResponse, answers, {
      refusal,
      problems: ['run_not_found', 'agent_not_found', 'cursor_expired', 'invalid_cursor'],
    }),
    cancelResponse: operation(
      cancelResponse,
      { 200: json(response, 'The response as it stands now', { ...exampleResponse, status: 'cancelled', output: [] }) },
      { refusal, problems: ['run_not_found', 'agent_not_found', 'cursor_expired'] },
    ),
  },
}
