import { isFinal, type Opened, type StoredMessage, type ToolCall, type ToolOutput } from '#lib/core/run'
import type { CommitAnswer, CallWrite, Happened, Intends } from '#lib/core/commit'
import { estimateTokens, jsonBytes } from '#lib/core/window'

/** The state as it will be when `happened` is committed: what `decide` looks at to say what the same commit intends. */
export function project(opened: Opened, happened: Happened): Opened {
  const count = happened.count ?? {}
  const calls = mergeCalls(opened, happened.calls ?? [])
  const window = [...opened.window, ...(happened.messages ?? []).map((message) => numbered(message, opened, 0))]
  const settled = calls.length > 0 && calls.every((call) => isFinal(call.state))
  if (settled) window.push(numbered(resultMessage(calls), opened, 0))
  return {
    ...opened,
    window,
    calls: settled ? [] : calls,
    run: {
      ...opened.run,
      step: count.step ?? opened.run.step,
      attempt: count.attempt ?? opened.run.attempt,
      cuts: count.cuts ?? opened.run.cuts,
      emptyAnswers: count.emptyAnswers ?? opened.run.emptyAnswers,
      windowRetries: count.windowRetries ?? opened.run.windowRetries,
      modelIndex: count.modelIndex ?? opened.run.modelIndex,
      modelCalls: opened.run.modelCalls + (count.modelCalls ?? 0),
      workMs: opened.run.workMs + (count.workMs ?? 0),
      crashes: happened.progress === false ? opened.run.crashes : 0,
      usage: addUsage(opened.run.usage, happened.usage),
    },
  }
}

/** The state after the commit, from what the database answered: numbers, results that entered, steered messages, started calls. */
export function applyCommit(opened: Opened, happened: Happened, intends: Intends, answer: CommitAnswer): void {
  const next = project(opened, happened)
  const own = (happened.messages ?? []).map((message, index) => numbered(message, opened, (answer.enteredFrom ?? 0) + index))
  const { keepFirst } = opened.settings.window
  opened.window = [...opened.window, ...own, ...answer.entered].filter(
    (message) => message.seq >= answer.windowFrom || (message.role === 'user' && message.seq <= keepFirst),
  )
  const started = new Set(answer.allowed ? (intends.start ?? []) : [])
  const decided = new Map(answer.decided.map((call) => [call.callId, call]))
  const refused = new Map((answer.refusedCalls ?? []).map(({ callId, output }) => [callId, output]))
  const calls = next.calls.map((call): ToolCall => {
    const output = refused.get(call.callId)
    if (output !== undefined) return { ...call, state: 'failed', output }
    return decided.get(call.callId) ?? (started.has(call.callId) ? startedCall(call, opened.lease.epoch) : call)
  })
  // A decision or a budget may have given the last open call its result: then all of them have entered with this commit.
  opened.calls = calls.every((call) => isFinal(call.state)) ? [] : calls
  opened.run = {
    ...next.run,
    state: answer.state,
    costMicros: answer.costMicros,
    reservedMicros: answer.reservedMicros,
    toolCalls: answer.toolCalls,
  }
  opened.windowFrom = answer.windowFrom
  opened.flags = answer.flags
  opened.lastSeq = answer.lastSeq
  keepValues(opened.state, happened.values)
}

/** Puts values into the agent's state; one that is undefined takes its key away. */
export function keepValues(state: Opened['state'], values: Happened['values'] = {}): void {
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) delete state[key]
    else state[key] = value
  }
}

/** A call as its start leaves it: an external one waits for the outside. */
export function startedCall(call: ToolCall, epoch: number): ToolCall {
  return { ...call, state: call.effect === 'external' ? 'waiting_external' : 'executing', epoch, attempts: call.attempts + 1 }
}

function mergeCalls(opened: Opened, writes: readonly CallWrite[]): ToolCall[] {
  const calls = new Map(opened.calls.map((call) => [call.callId, call]))
  for (const write of writes) {
    const known = calls.get(write.callId)
    if (known && isFinal(known.state)) continue
    const { note: _note, hook: _hook, approval: _asked, ...call } = write
    calls.set(write.callId, {
      ...call,
      runId: opened.run.id,
      attempts: known?.attempts ?? 0,
      epoch: known?.epoch ?? null,
      approval: known?.approval ?? null,
    })
  }
  return [...calls.values()]
}

function numbered(
  message: { role: StoredMessage['role']; content: StoredMessage['content']; estTokens: number },
  opened: Opened,
  seq: number,
): StoredMessage {
  return { seq, runId: opened.run.id, role: message.role, content: message.content, estTokens: message.estTokens }
}

/** The tool message that the database makes of the results of a step, in call order; here only to estimate and to decide. */
export function resultMessage(calls: readonly ToolCall[]): { role: 'tool'; content: StoredMessage['content']; estTokens: number } {
  const none: ToolOutput = { type: 'text', value: '' }
  const content: StoredMessage['content'] = [...calls]
    .sort((a, b) => a.step - b.step || a.index - b.index)
    .map((call) => ({ type: 'tool-result' as const, toolCallId: call.callId, toolName: call.name, output: call.output ?? none }))
  return { role: 'tool', content, estTokens: estimateTokens(jsonBytes(content)) }
}

function addUsage(usage: Opened['run']['usage'], more: Happened['usage']): Opened['run']['usage'] {
  if (more === undefined) return usage
  return {
    inputTokens: usage.inputTokens + more.inputTokens,
    outputTokens: usage.outputTokens + more.outputTokens,
    cacheReadTokens: usage.cacheReadTokens + more.cacheReadTokens,
    cacheWriteTokens: usage.cacheWriteTokens + more.cacheWriteTokens,
    reasoningTokens: usage.reasoningTokens + more.reasoningTokens,
  }
}
