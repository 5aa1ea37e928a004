import type { FakeScript } from '#tests/fake-provider/script'
import { pieces } from '#tests/fake-provider/script'

/** One server-sent event; `piece` marks those that carry a piece of the answer, for cuts, `thinks` the one after which the model may think for long. */
export interface Frame {
  event?: string
  data: unknown
  piece?: boolean
  thinks?: boolean
}

const model = 'fake-model-1'

/** OpenAI's chat completions, and everything that imitates them. */
export function chatFrames(script: FakeScript): Frame[] {
  const chunk = (delta: unknown, finish: string | null = null, usage?: unknown): unknown => ({
    id: 'chat_1',
    object: 'chat.completion.chunk',
    created: 1,
    model,
    choices: usage === undefined ? [{ index: 0, delta, finish_reason: finish }] : [],
    ...(usage === undefined ? {} : { usage }),
  })
  const finish = script.finish === 'stop' && script.tools.length > 0 ? 'tool_calls' : script.finish
  const usage = script.usage
  return [
    { data: chunk({ role: 'assistant', content: '' }) },
    ...pieces(script.text).map((content) => ({ data: chunk({ content }), piece: true })),
    ...script.tools.map((tool, index) => ({
      data: chunk({ tool_calls: [{ index, id: `tool_${index}`, type: 'function', function: { name: tool.name, arguments: tool.input } }] }),
      piece: true,
    })),
    { data: chunk({}, finish) },
    ...(usage === null
      ? []
      : [
          {
            data: chunk({}, null, {
              prompt_tokens: usage.input,
              completion_tokens: usage.output,
              total_tokens: usage.input + usage.output,
              prompt_tokens_details: { cached_tokens: usage.cacheRead },
            }),
          },
        ]),
    { data: '[DONE]' },
  ]
}

/** OpenAI's responses. */
export function responsesFrames(script: FakeScript): Frame[] {
  const frame = (type: string, rest: object): unknown => ({ type, ...rest })
  const usage = script.usage
  const incomplete = { length: 'max_output_tokens', content_filter: 'content_filter', stop: null }[script.finish]
  const response = {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    model,
    output: [],
    incomplete_details: incomplete === null ? null : { reason: incomplete },
    usage: usage && {
      input_tokens: usage.input,
      input_tokens_details: { cached_tokens: usage.cacheRead },
      output_tokens: usage.output,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: usage.input + usage.output,
    },
  }
  const message = { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: [] }
  const text: Frame[] =
    script.text === ''
      ? []
      : [
          { data: frame('response.output_item.added', { output_index: 0, item: message }) },
          ...pieces(script.text).map((delta) => ({
            data: frame('response.output_text.delta', { output_index: 0, content_index: 0, item_id: 'msg_1', delta }),
            piece: true,
          })),
          { data: frame('response.output_item.done', { output_index: 0, item: message }) },
        ]
  const tools = script.tools.flatMap((tool, index): Frame[] => {
    const item = {
      type: 'function_call',
      id: `fc_${index}`,
      call_id: `tool_${index}`,
      name: tool.name,
      arguments: tool.input,
      status: 'completed',
    }
    return [
      { data: frame('response.output_item.added', { output_index: index + 1, item: { ...item, arguments: '', status: 'in_progress' } }) },
      {
        data: frame('response.function_call_arguments.delta', { output_index: index + 1, item_id: item.id, delta: tool.input }),
        piece: true,
      },
      { data: frame('response.output_item.done', { output_index: index + 1, item }) },
    ]
  })
  return [
    { data: frame('response.created', { response }) },
    { data: frame('response.in_progress', { response }), thinks: true },
    ...text,
    ...tools,
    { data: frame(incomplete === null ? 'response.completed' : 'response.incomplete', { response }) },
  ]
}

/** Anthropic's messages. */
export function messagesFrames(script: FakeScript): Frame[] {
  const frame = (type: string, rest: object, piece = false): Frame => ({ event: type, data: { type, ...rest }, piece })
  const usage = script.usage ?? { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }
  const reason = { stop: script.tools.length > 0 ? 'tool_use' : 'end_turn', length: 'max_tokens', content_filter: 'refusal' }[script.finish]
  const blocks: { start: object; deltas: object[] }[] = []
  if (script.reasoning !== undefined) {
    const deltas = pieces(script.reasoning).map((thinking) => ({ type: 'thinking_delta', thinking }))
    blocks.push({
      start: { type: 'thinking', thinking: '', signature: '' },
      deltas: [...deltas, { type: 'signature_delta', signature: 'signed' }],
    })
  }
  if (script.text !== '') {
    blocks.push({ start: { type: 'text', text: '' }, deltas: pieces(script.text).map((text) => ({ type: 'text_delta', text })) })
  }
  for (const [index, tool] of script.tools.entries()) {
    blocks.push({
      start: { type: 'tool_use', id: `tool_${index}`, name: tool.name, input: {} },
      deltas: [{ type: 'input_json_delta', partial_json: tool.input }],
    })
  }
  const counted = { input_tokens: usage.input, cache_read_input_tokens: usage.cacheRead, cache_creation_input_tokens: usage.cacheWrite }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null }
  return [
    { ...frame('message_start', { message: { ...message, usage: { ...counted, output_tokens: 1 } } }), thinks: true },
    ...blocks.flatMap((block, index) => [
      frame('content_block_start', { index, content_block: block.start }),
      ...block.deltas.map((delta) => frame('content_block_delta', { index, delta }, true)),
      frame('content_block_stop', { index }),
    ]),
    frame('message_delta', { delta: { stop_reason: reason, stop_sequence: null }, usage: { output_tokens: usage.output } }),
    frame('message_stop', {}),
  ]
}

/** Vercel AI Gateway: the AI SDK's own stream parts. */
export function gatewayFrames(script: FakeScript): Frame[] {
  const usage = script.usage ?? { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }
  const unified = { stop: script.tools.length > 0 ? 'tool-calls' : 'stop', length: 'length', content_filter: 'content-filter' }[
    script.finish
  ]
  return [
    { data: { type: 'stream-start', warnings: [] } },
    ...(script.madeFile === undefined
      ? []
      : [{ data: { type: 'file', mediaType: 'image/png', data: { type: 'url', url: script.madeFile } } }]),
    { data: { type: 'text-start', id: '0' } },
    ...pieces(script.text).map((delta) => ({ data: { type: 'text-delta', id: '0', delta }, piece: true })),
    { data: { type: 'text-end', id: '0' } },
    ...script.tools.map((tool, index) => ({
      data: { type: 'tool-call', toolCallId: `tool_${index}`, toolName: tool.name, input: tool.input },
      piece: true,
    })),
    {
      data: {
        type: 'finish',
        finishReason: { unified, raw: unified },
        usage: {
          inputTokens: {
            total: usage.input,
            noCache: usage.input - usage.cacheRead,
            cacheRead: usage.cacheRead,
            cacheWrite: usage.cacheWrite,
          },
          outputTokens: { total: usage.output, text: usage.output, reasoning: 0 },
        },
      },
    },
  ]
}
