import type { CallId, RunId } from '#lib/core/ids'
import { defaultLimits, defaultMaxOutputTokens, defaultMaxQueued, defaultWindow } from '#lib/core/limits'
import { noUsage, type Opened, type Run, type StoredMessage, type ToolCall } from '#lib/core/run'

export const runId: RunId = 'run_1'

/** A row of the conversation of 10 estimated tokens. */
export function row(
  seq: number,
  role: StoredMessage['role'],
  content: StoredMessage['content'] = `${role} ${seq}`,
  estTokens = 10,
): StoredMessage {
  return { seq, runId, role, content, estTokens }
}

/** A call as the model has asked for it. */
export function call(name: string, change: Partial<ToolCall> = {}): ToolCall {
  const callId: CallId = `call_${name}`
  return {
    callId,
    runId,
    step: 1,
    index: 0,
    name,
    input: {},
    effect: 'pure',
    state: 'pending',
    output: null,
    attempts: 0,
    epoch: null,
    idempotencyKey: callId,
    ...change,
  }
}

/** The state of a run that has just been opened, changed as the test needs it. */
export function opened(change: Partial<Omit<Opened, 'run'>> & { run?: Partial<Run> } = {}): Opened {
  const { run, ...rest } = change
  const counters = {
    step: 0,
    modelCalls: 0,
    toolCalls: 0,
    attempt: 0,
    crashes: 0,
    cuts: 0,
    emptyAnswers: 0,
    windowRetries: 0,
    modelIndex: 0,
    slices: 1,
  }
  return {
    tenantId: 't',
    agentUid: '00000000-0000-7000-8000-000000000000',
    agentName: 'a',
    userId: null,
    metadata: {},
    alwaysAllowed: [],
    lastCommit: null,
    settings: {
      template: 't',
      templateVersion: '1',
      model: 'local/test',
      price: { inputMicrosPerMillion: 1, outputMicrosPerMillion: 1 },
      limits: defaultLimits,
      maxQueued: defaultMaxQueued,
      onBusy: 'enqueue',
      window: defaultWindow,
      maxOutputTokens: defaultMaxOutputTokens,
      instructionTokens: 10,
    },
    run: {
      id: runId,
      state: 'running',
      ...counters,
      limits: defaultLimits,
      costMicros: 0,
      reservedMicros: 0,
      usage: noUsage,
      workMs: 0,
      metadata: {},
      ...run,
    },
    lease: { sliceId: 'slice_1', epoch: 2, leaseMs: 30_000 },
    window: [row(1, 'user')],
    windowFrom: 1,
    calls: [],
    state: {},
    flags: { stop: null, hold: false },
    lastSeq: 1,
    ...rest,
  }
}
