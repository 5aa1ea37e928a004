import type { ProviderError } from '#lib/core/errors'
import type { ModelAnswer, ModelRequest, SpanInfo } from '#lib/core/ports'
import type { Opened, ToolCall } from '#lib/core/run'
import type { Advanced } from '#lib/engine/advance'
import type { Session } from '#lib/engine/session'

/*
 * Spans by OpenTelemetry's conventions for generative AI (names, models, tokens), without a word of the conversation; and the log lines
 * that go with them.
 */

/** One slice: its parent is what opened the run, so that all slices of a run stand in one trace, whatever process they ran in. */
export function sliceSpan({ run, agentName, agentUid, settings, lease }: Opened): SpanInfo {
  return {
    name: `invoke_agent ${settings.template}`,
    kind: 'internal',
    parent: run.traceparent ?? null,
    attributes: {
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.name': settings.template,
      'gen_ai.agent.id': agentName,
      'gen_ai.conversation.id': agentUid,
      'baton.run.id': run.id,
      'baton.slice': run.slices,
      'baton.epoch': lease.epoch,
    },
  }
}

/** What every log line of a slice carries. */
export function sliceFields({ tenantId, agentName, run }: Opened): Record<string, unknown> {
  return { tenant_id: tenantId, agent_id: agentName, run_id: run.id }
}

/** One line and the last attributes when a slice has ended. */
export function tellSlice(session: Session, advanced: Advanced, ms: number): Record<string, string | number> {
  const { run } = session.opened
  const outcome = advanced.kind
  const told = { outcome, state: advanced.kind === 'lease_lost' ? 'unknown' : advanced.state, step: run.step }
  const stopReason = advanced.kind === 'lease_lost' ? null : advanced.stopReason
  session.services.log.info('slice', { ...told, stop_reason: stopReason, slice: run.slices, duration_ms: Math.round(ms) })
  return { 'baton.outcome': outcome, 'baton.run.state': told.state, 'baton.step': run.step }
}

/** One model call. */
export function callSpan({ model, step, attempt, maxOutputTokens }: ModelRequest): SpanInfo {
  const [provider = '', ...rest] = model.split('/')
  return {
    name: `chat ${rest.join('/')}`,
    kind: 'client',
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': provider,
      'gen_ai.request.model': rest.join('/'),
      'gen_ai.request.max_tokens': maxOutputTokens,
      'gen_ai.output.type': 'text',
      'baton.step': step,
      'baton.attempt': attempt,
    },
  }
}

/** What the answer of a model call adds to its span. */
export function answerAttributes({ model, usage, finish }: ModelAnswer): SpanInfo['attributes'] {
  return {
    'gen_ai.response.model': model,
    'gen_ai.response.finish_reasons': [finish],
    'gen_ai.usage.input_tokens': usage.inputTokens,
    'gen_ai.usage.output_tokens': usage.outputTokens,
    'gen_ai.usage.cache_read.input_tokens': usage.cacheReadTokens,
    'gen_ai.usage.cache_creation.input_tokens': usage.cacheWriteTokens,
  }
}

/** The lines of a model call that was answered, as far as they are switched on (BATON_LOG_LINES). */
export function tellAnswer(session: Session, request: ModelRequest, { usage, finish }: ModelAnswer, ms: number): void {
  const { config, log } = session.services
  const about = { step: request.step, model: request.model, duration_ms: ms }
  const {
    inputTokens: input_tokens,
    outputTokens: output_tokens,
    cacheReadTokens: cache_read_tokens,
    cacheWriteTokens: cache_write_tokens,
  } = usage
  if (config.log.lines.includes('usage')) log.info('usage', { ...about, input_tokens, output_tokens, finish })
  if (config.log.lines.includes('cache')) log.info('cache', { ...about, cache_read_tokens, cache_write_tokens, input_tokens })
}

/** What a provider says of these may repeat what it was sent. */
const quiet: ReadonlySet<string> = new Set(['bad_request', 'content_filtered', 'context_too_long'])

/** The line of a model call that failed, where it is switched on. */
export function tellFailure(
  session: Session,
  request: ModelRequest,
  told: { error: ProviderError; ms: number; delayMs: number | null },
): void {
  const { config, log } = session.services
  if (!config.log.lines.includes('retry')) return
  const { error, ms, delayMs: delay_ms } = told
  const { code } = error
  const about = { step: request.step, attempt: request.attempt, model: request.model, code, delay_ms, duration_ms: ms }
  log.warn('a model call failed', quiet.has(code) ? about : { ...about, error: error.message })
}

/** One execution of a tool. */
export function toolSpan({ name, callId, step, attempts, effect }: ToolCall): SpanInfo {
  return {
    name: `execute_tool ${name}`,
    kind: 'internal',
    attributes: {
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': name,
      'gen_ai.tool.call.id': callId,
      'gen_ai.tool.type': 'function',
      'baton.step': step,
      'baton.attempt': attempts,
      'baton.effect': effect,
    },
  }
}
