import { json, operation, orElse, type Resource } from '#lib/api/openapi/describe'
import { messages } from '#lib/api/openapi/resources/messages'
import { exampleResponse, openaiProblem, response, responseEvent } from '#lib/api/openapi/schemas/response'
import { cancelResponse, createResponse, getResponse } from '#lib/api/responses'

const answer = json(response, 'The response as it stands; as a stream its events', exampleResponse, [
  'Idempotent-Replayed',
  'Preference-Applied',
])
const streamed = orElse(answer, 'text/event-stream', responseEvent, { type: 'response.completed', sequence_number: 32_505_857 })

const refusal = {
  content: {
    'application/json': {
      schema: openaiProblem,
      example: {
        error: {
          message: "Unsupported parameter: 'temperature' is not supported here.",
          type: 'invalid_request_error',
          param: 'temperature',
          code: 'unsupported_parameter',
          request_id: 'req_01936f1e5a7d7e61b2d0c4a9f8e70004',
        },
      },
    },
  },
}

/** OpenAI Responses: the same agents and runs for OpenAI's clients. */
export const responses: Resource = {
  tag: 'OpenAI Responses',
  description:
    "The same agents and runs for OpenAI's clients: `model` is the template, a response is a run, a conversation an agent. Errors have OpenAI's shape.",
  operations: {
    createResponse: operation(
      createResponse,
      { 200: streamed },
      {
        // What a message may be refused for, and a model that does not exist, which is 404 here.
        problems: [...(messages.operations['sendMessage']?.problems ?? []), 'not_last_run', 'run_not_found'],
        headers: ['Idempotency-Key', 'Prefer'],
        refusal: { ...refusal, alsoStatuses: [404] },
        example: { model: 'support', input: 'Where is my order?', metadata: { order: '17' } },
      },
    ),
    getResponse: operation(getResponse, { 200: streamed }, { problems: ['run_not_found', 'invalid_cursor', 'cursor_expired'], refusal }),
    cancelResponse: operation(cancelResponse, { 200: answer }, { problems: ['run_not_found'], refusal, headers: ['Idempotency-Key'] }),
  },
}
