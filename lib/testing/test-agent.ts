import type { ModelMessage } from 'ai'
import type { ApprovalDecision } from '#lib/core/approvals'
import type { AgentDefinition, AnyTool } from '#lib/core/define'
import type { PermissionRules } from '#lib/core/policy'
import type { ModelRequest } from '#lib/core/ports'
import { plain } from '#lib/core/plain'
import { redact } from '#lib/core/redact'
import { noUsage, type EndState, type LowerLimits, type Opened, type StopReason, type ToolCall, type ToolOutput } from '#lib/core/run'
import type { RunError } from '#lib/core/commit'
import { estimateContent, toModelMessage } from '#lib/core/window'
import { advance } from '#lib/engine/advance'
import { noRates } from '#lib/core/rate'
import type { EngineServices } from '#lib/engine/services'
import { outputOf } from '#lib/engine/output'
import { inHand, openSession } from '#lib/engine/session'
import { deployTemplates } from '#lib/engine/templates'
import { priceOf } from '#lib/models/registry'
import { providers } from '#lib/providers'
import { systemClock } from '#lib/system/clock'
import { systemIds } from '#lib/system/ids'
import { memoryStore, type MemoryStore } from '#lib/testing/memory-store'
import { checkOptions, fromOutside, own, type OutsideAnswers, type StandIns } from '#lib/testing/options'
import { scriptedAnswers, type ScriptedAnswer } from '#lib/testing/scripted-answers'

/** What testAgent is given beside the template. */
export interface TestOptions {
  /** The model's answers in order, one for each call. */
  script: readonly ScriptedAnswer[]
  /** Stand-ins for the `run` of tools, by name; the others run as they are. Inputs are checked by the tools' own schemas. */
  tools?: StandIns
  message?: string
  userId?: string
  metadata?: Record<string, unknown>
  /** What `context.state` holds at the start. */
  state?: Record<string, unknown>
  /** Those of the message: they only lower the template's. */
  limits?: LowerLimits
  /** The agent's own permission: it narrows the template's. */
  permission?: PermissionRules
  /** Decides about each call that the rules let ask; without it such a run rejects and names the call. */
  approve?: (call: { name: string; input: unknown }) => ApprovalDecision | Promise<ApprovalDecision>
  /** What the outside answers to calls of external tools, by name; a throw is its error. */
  external?: OutsideAnswers
}

/** How the run ended and all that it did. */
export interface TestedRun {
  state: EndState
  stopReason: StopReason
  output: string | null
  error: RunError | null
  calls: { name: string; input: unknown; state: ToolCall['state']; output: ToolOutput | null }[]
  messages: ModelMessage[]
  /** What tools have emitted. */
  emitted: { type: unknown; data: unknown }[]
  /** What `context.state` holds at the end. */
  values: Record<string, unknown>
  /** What the model was asked, call by call: instructions, messages, tools, model. */
  requests: ModelRequest[]
  costMicros: number
}

const hourMs = 3_600_000

/**
 * Runs one template through the real engine, from one message to the end, with scripted answers of the model and no stack: for unit
 * tests of templates. Limits, prices, retries, fallbacks and the window are the real ones; so is the time that tools, hooks and functions
 * of the template may take, while pauses before retries take none. What crashes, hand-overs and other processes do is the engine's own
 * affair and not shown here. Rejects when the script has too few answers, and with a TypeError for what the API would refuse and for
 * names of tools that the template does not have.
 */
export async function testAgent(definition: AgentDefinition, options: TestOptions): Promise<TestedRun> {
  const tested: AgentDefinition = {
    ...definition,
    tools: (definition.tools ?? []).map((tool) => standIn(tool, own(options.tools, tool.name))),
  }
  const { model, requests } = scriptedAnswers(options.script)
  const opened = firstState(tested, options)
  checkOptions(definition, opened.settings.limits, options)
  const store = memoryStore(opened)
  let fault: unknown = null
  const services = servicesFor(tested, store, {
    ...model,
    call: (...call) => model.call(...call).catch((error: unknown) => ((fault = error), Promise.reject(error))),
  })
  // Each turn is a slice; a run in memory needs more than one only where a provider asks for more than an hour.
  for (let slice = 0; store.end() === null && slice < 20; slice++) {
    const now = performance.now()
    const session = openSession({
      services,
      definition: tested,
      opened: store.claim(),
      opening: null,
      gates: {},
      asked: { monotonic: now, wall: Date.now() },
      reservation: inHand(null, { reserved: 'none' }),
      deadlines: { sliceAt: now + hourMs / 2, hardAt: now + hourMs / 2 },
    })
    await advance(session)
    for (const call of store.waiting()) store.answer(call.callId, await outsideAnswer(definition, call, options))
  }
  const end = store.end()
  if (end === null) throw new Error('the run did not come to an end', { cause: fault })
  return {
    ...end,
    calls: store.calls.map(({ name, input, state, output }) => ({ name, input, state, output })),
    messages: store.messages.map(toModelMessage),
    emitted: store.events.flatMap((event) =>
      event.type === 'custom' ? [{ type: event.data['eventType'], data: event.data['data'] }] : [],
    ),
    values: store.values,
    requests,
    costMicros: store.costMicros(),
  }
}

async function outsideAnswer(
  { tools }: AgentDefinition,
  call: ToolCall,
  options: TestOptions,
): Promise<Pick<ToolCall, 'state' | 'output'>> {
  const { name, input } = call
  if (call.state === 'approval_required') {
    if (options.approve === undefined) throw new Error(`the run waits for a decision about ${name}: give testAgent \`approve\``)
    if ((await options.approve({ name, input })) === 'allow') return { state: 'approved', output: null }
    return { state: 'denied', output: { type: 'error-json', value: { ok: false, errorType: 'denied', retryable: false } } }
  }
  const answer = own(options.external, name)
  if (answer === undefined) throw new Error(`the run waits for a result of ${name} from outside: give testAgent \`external\``)
  let result: unknown
  try {
    result = await answer(input)
  } catch (error) {
    return { state: 'failed', output: { type: 'error-text', value: String(error) } }
  }
  const tool = tools?.find((one) => one.name === name)
  return { state: 'completed', output: outputOf(await fromOutside(tool, result)) }
}

function standIn(tool: AnyTool, run: StandIns[string] | undefined): AnyTool {
  return run === undefined ? tool : { ...tool, run }
}

function firstState(definition: AgentDefinition, options: TestOptions): Opened {
  const ids = systemIds()
  const settings = deployTemplates([definition], price).settings(definition.id)
  if (settings === null) throw new Error(`template ${definition.id} has no settings`)
  const id = ids.make('run')
  const content = options.message ?? 'Hello'
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
    slices: 0,
  }
  return {
    tenantId: 'test',
    agentUid: ids.uuid(),
    agentName: 'test',
    userId: options.userId ?? null,
    metadata: options.metadata ?? {},
    narrowing: options.permission === undefined ? {} : { permission: options.permission },
    alwaysAllowed: [],
    lastCommit: null,
    settings,
    run: {
      id,
      state: 'running',
      ...counters,
      limits: { ...settings.limits, ...options.limits },
      costMicros: 0,
      reservedMicros: 0,
      usage: noUsage,
      workMs: 0,
      metadata: {},
    },
    lease: { sliceId: ids.make('slice'), epoch: 0, leaseMs: hourMs },
    window: [{ seq: 1, runId: id, role: 'user', content, estTokens: estimateContent(content) }],
    windowFrom: 1,
    calls: [],
    state: plain(options.state ?? {}) as Opened['state'],
    flags: { stop: null, hold: false },
    lastSeq: 0,
  }
}

const price = (model: string): ReturnType<typeof priceOf> => priceOf(providers, model)

function servicesFor(definition: AgentDefinition, store: MemoryStore, model: EngineServices['model']): EngineServices {
  const none = (): void => undefined
  const never = (): never => {
    throw new Error('a run in memory is neither opened nor claimed through the store')
  }
  return {
    config: {
      environment: 'test',
      leaseMs: hourMs,
      // The pauses before retries; what bounds the template's own code is a time-out and stays as long as it is.
      haste: Number.POSITIVE_INFINITY,
      maxStepCrashes: 3,
      maxResultBytes: 65_536,
      toolTimeoutMs: 60_000,
      modelSilenceMs: 60_000,
      maxDurationMs: hourMs,
      hardMarginMs: 1_000,
      log: { format: 'json', lines: [] },
    },
    store: { ...store, open: never, claim: never, outboxSent: () => Promise.resolve() },
    model,
    live: {
      emit: none,
      watch: () => none,
      onWatcher: () => none,
      halt: () => Promise.resolve(),
      haltAll: () => Promise.resolve(),
      onHalt: () => none,
      forget: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    clock: { ...systemClock(), random: () => 0.5 },
    ids: systemIds(),
    log: { info: none, warn: none, error: none },
    telemetry: {
      within: (_fields, work) => work(),
      span: (_info, work) => work({ set: none, fail: none }),
      traceparent: () => null,
      flush: () => Promise.resolve(),
    },
    redact,
    templates: deployTemplates([definition], price),
    price,
    onEffect: none,
    rates: noRates,
    dispatch: none,
    ending: () => false,
  }
}
