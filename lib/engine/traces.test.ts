import { expect, test } from 'vitest'
import { ProviderError, type ProviderCode } from '#lib/core/errors'
import type { ModelAnswer } from '#lib/core/ports'
import { call, opened } from '#lib/core/state.fixture'
import type { Session } from '#lib/engine/session'
import { answerAttributes, callSpan, sliceFields, sliceSpan, tellAnswer, tellFailure, toolSpan } from '#lib/engine/traces'
import { testServices } from '#lib/http/services.fixture'
import { requestFor } from '#tests/fake-provider/world'

const request = requestFor('gateway/anthropic/claude', [], { step: 3, attempt: 2 })
const usage = { inputTokens: 9, outputTokens: 8, cacheReadTokens: 7, cacheWriteTokens: 6, reasoningTokens: 5 }
const answer: ModelAnswer = {
  content: [{ type: 'text', text: 'secret' }],
  text: 'secret',
  reasoning: '',
  calls: [],
  usage,
  finish: 'stop',
  provider: 'gateway',
  model: 'claude-1',
}

/** A session that writes these lines of its model calls. */
function session(lines: ('usage' | 'retry' | 'cache')[]) {
  const services = testServices({ log: { format: 'json', lines } })
  return { lines: services.lines, of: { services, opened: opened() } as unknown as Session }
}

test('spans are named and numbered by the conventions, and stand in the trace that opened the run', () => {
  const state = opened({ run: { traceparent: '00-a-b-01', slices: 4 } })
  expect(sliceSpan(state)).toMatchObject({
    name: 'invoke_agent t',
    parent: '00-a-b-01',
    attributes: {
      'gen_ai.agent.id': 'a',
      'gen_ai.conversation.id': state.agentUid,
      'baton.run.id': 'run_1',
      'baton.slice': 4,
      'baton.epoch': 2,
    },
  })
  expect(sliceFields(state)).toEqual({ tenant_id: 't', agent_id: 'a', run_id: 'run_1' })
  expect(callSpan(request)).toMatchObject({
    // Of a gateway the model has the name that its provider gives it.
    name: 'chat anthropic/claude',
    kind: 'client',
    attributes: { 'gen_ai.provider.name': 'gateway', 'gen_ai.request.max_tokens': 500, 'baton.step': 3, 'baton.attempt': 2 },
  })
  expect(answerAttributes(answer)).toEqual({
    'gen_ai.response.model': 'claude-1',
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.usage.input_tokens': 9,
    'gen_ai.usage.output_tokens': 8,
    'gen_ai.usage.cache_read.input_tokens': 7,
    'gen_ai.usage.cache_creation.input_tokens': 6,
  })
  const tool = toolSpan(call('echo', { attempts: 2, effect: 'once' }))
  expect(tool).toMatchObject({
    name: 'execute_tool echo',
    attributes: { 'gen_ai.tool.call.id': 'call_echo', 'baton.attempt': 2, 'baton.effect': 'once' },
  })
})

test('the lines of a model call are written where they are switched on, each with its own numbers', () => {
  const about = { step: 3, model: request.model, duration_ms: 12 }
  const numbers = {
    usage: { input_tokens: 9, output_tokens: 8, finish: 'stop' },
    cache: { cache_read_tokens: 7, cache_write_tokens: 6, input_tokens: 9 },
  }
  for (const line of ['usage', 'cache'] as const) {
    const { lines, of } = session([line])
    tellAnswer(of, request, answer, 12)
    expect(lines).toEqual([{ level: 'info', message: line, fields: { ...about, ...numbers[line] } }])
  }
  const { lines, of } = session([])
  tellAnswer(of, request, answer, 12)
  tellFailure(of, request, { error: new ProviderError('provider_timeout', 'no'), ms: 1, delayMs: null })
  expect(lines).toEqual([])
})

test('a failure is told with its words, but where those may repeat what the provider was sent', () => {
  const told = (code: ProviderCode) => {
    const { lines, of } = session(['retry'])
    tellFailure(of, request, { error: new ProviderError(code, 'what it said'), ms: 5, delayMs: 700 })
    const about = { step: 3, attempt: 2, model: request.model, code, delay_ms: 700, duration_ms: 5 }
    expect(lines).toMatchObject([{ level: 'warn', message: 'a model call failed', fields: about }])
    return lines[0]?.fields['error']
  }
  for (const code of ['provider_timeout', 'provider_auth', 'model_not_found'] as const) expect(told(code)).toBe('what it said')
  for (const code of ['bad_request', 'content_filtered', 'context_too_long'] as const) expect(told(code)).toBeUndefined()
})
