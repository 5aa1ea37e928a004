import { z } from 'zod'

const outputText = z
  .object({ type: z.literal('output_text'), text: z.string(), annotations: z.array(z.never()), logprobs: z.array(z.never()) })
  .meta({ id: 'OutputText' })

const message = z
  .object({
    id: z.string(),
    type: z.literal('message'),
    role: z.literal('assistant'),
    status: z.enum(['in_progress', 'completed', 'incomplete']),
    content: z.array(outputText).meta({ description: 'Empty where the model call was given up (`incomplete`)' }),
  })
  .meta({ id: 'OutputMessage' })

const call = z
  .object({
    id: z.string(),
    type: z.literal('mcp_call'),
    server_label: z.string(),
    name: z.string(),
    arguments: z.string(),
    status: z.enum(['in_progress', 'completed', 'failed', 'incomplete']),
    output: z.string().nullable(),
    error: z
      .object({ type: z.string(), content: z.array(z.object({ type: z.literal('text'), text: z.string() })) })
      .nullable()
      .meta({ description: 'What the model was told instead of an output' }),
    approval_request_id: z.string().nullable(),
  })
  .meta({ id: 'OutputCall' })

const approval = z
  .object({ id: z.string(), type: z.literal('mcp_approval_request'), server_label: z.string(), name: z.string(), arguments: z.string() })
  .meta({ id: 'OutputApprovalRequest', description: 'Decided at /api/approvals/{id}' })

const usage = z
  .object({
    input_tokens: z.int(),
    input_tokens_details: z.object({ cached_tokens: z.int(), cache_write_tokens: z.int() }),
    output_tokens: z.int(),
    output_tokens_details: z.object({ reasoning_tokens: z.int() }),
    total_tokens: z.int(),
  })
  .meta({ id: 'ResponseUsage' })

/** A response of OpenAI's Responses API, as Baton answers it. */
export const response = z
  .object({
    id: z.string().meta({ description: '`resp_` and what follows `run_` in the id of the run' }),
    object: z.literal('response'),
    created_at: z.int().meta({ description: 'Seconds since the epoch' }),
    completed_at: z.int().nullable(),
    status: z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
    background: z.boolean().optional().meta({ description: 'In the answer to the request that began it' }),
    model: z.string().meta({ description: 'The template' }),
    conversation: z.object({ id: z.string() }).meta({ description: 'The agent' }),
    previous_response_id: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    output: z.array(z.discriminatedUnion('type', [message, call, approval])),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.object({ reason: z.enum(['max_output_tokens', 'content_filter']) }).nullable(),
    usage: usage.nullable(),
    instructions: z.null(),
    temperature: z.null(),
    top_p: z.null(),
    max_output_tokens: z.null(),
    parallel_tool_calls: z.boolean(),
    tool_choice: z.literal('auto'),
    tools: z.array(z.never()),
    text: z.object({ format: z.object({ type: z.literal('text') }) }),
    truncation: z.literal('disabled'),
    store: z.literal(true),
  })
  .meta({ id: 'Response' })

/** One event of a response's stream: OpenAI's, numbered by Baton. */
export const responseEvent = z
  .looseObject({ type: z.string(), sequence_number: z.int().meta({ description: 'Grows, with gaps; `starting_after` goes on after it' }) })
  .meta({ id: 'ResponseEvent' })

/** How the dialect refuses. */
export const openaiProblem = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string(),
      request_id: z.string(),
      response_id: z.string().optional().meta({ description: 'The response that failed while its caller waited' }),
      last_response_id: z.string().optional(),
      needed: z.string().optional().meta({ description: 'The right that is missing' }),
    }),
  })
  .meta({ id: 'OpenAIError' })

/** For the document. */
export const exampleResponse: z.input<typeof response> = {
  id: 'resp_01936f1e5a7d7e61b2d0c4a9f8e70001',
  object: 'response',
  created_at: 1_795_244_400,
  completed_at: 1_795_244_402,
  status: 'completed',
  background: false,
  model: 'support',
  conversation: { id: 'support-4711' },
  previous_response_id: null,
  metadata: { order: '17' },
  output: [
    {
      id: 'msg_01936f1e5a7d7e61b2d0c4a9f8e70001_0',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'It is on its way.', annotations: [], logprobs: [] }],
    },
  ],
  error: null,
  incomplete_details: null,
  usage: {
    input_tokens: 412,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: 9,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 421,
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
