import { z } from 'zod'

const count = z.int()

/** The response object of OpenAI's Responses API, as far as Baton fills it. */
export const response = z
  .object({
    id: z.string(),
    object: z.literal('response'),
    created_at: z.int(),
    completed_at: z.int().nullable(),
    status: z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
    background: z.boolean().optional(),
    model: z.string().meta({ description: 'The template' }),
    conversation: z.object({ id: z.string().meta({ description: 'The agent' }) }),
    previous_response_id: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    output: z.array(z.looseObject({ id: z.string(), type: z.string() })),
    error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.object({ reason: z.string() }).nullable(),
    usage: z
      .object({
        input_tokens: count,
        input_tokens_details: z.object({ cached_tokens: count, cache_write_tokens: count }),
        output_tokens: count,
        output_tokens_details: z.object({ reasoning_tokens: count }),
        total_tokens: count,
      })
      .nullable(),
    instructions: z.null(),
    temperature: z.null(),
    top_p: z.null(),
    max_output_tokens: z.null(),
    parallel_tool_calls: z.boolean(),
    tool_choice: z.string(),
    tools: z.array(z.unknown()),
    text: z.object({ format: z.object({ type: z.literal('text') }) }),
    truncation: z.string(),
    store: z.literal(true),
  })
  .meta({ id: 'Response' })

/** The response of the examples. */
export const exampleResponse: z.input<typeof response> = {
  id: 'resp_01936f1e5a7d7e61b2d0c4a9f8e71234',
  object: 'response',
  created_at: 1_795_253_400,
  completed_at: 1_795_253_402,
  status: 'completed',
  model: 'support',
  conversation: { id: 'support-4711' },
  previous_response_id: null,
  metadata: {},
  output: [
    {
      id: 'msg_01936f1e5a7d7e61b2d0c4a9f8e71234_1',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'Your order leaves tomorrow.', annotations: [], logprobs: [] }],
    },
  ],
  error: null,
  incomplete_details: null,
  usage: {
    input_tokens: 412,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: 38,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 450,
  },
  instructions: null,
  temperature: null,
  top_p: null,
  max_output_tokens: null,
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  text: { format: { type: 'text' } },
  truncation: 'disabled',
  store: true,
}
