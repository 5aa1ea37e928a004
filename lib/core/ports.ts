import type { ModelMessage } from 'ai'
import type { AgentDefinition, AnyTool } from '#lib/core/define'
import type { AgentUid, CallId, RunId } from '#lib/core/ids'
import type { Labels, MetricName } from '#lib/core/metrics'
import type { Usage } from '#lib/core/run'

/** Wall and monotonic time in milliseconds, timers and randomness: injected, so that tests move them. */
export interface Clock {
  /** Milliseconds since the epoch. Never compared with an instant of the database. */
  now(): number
  /** Milliseconds that only grow. */
  monotonic(): number
  /** Resolves after `ms`, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** 0 <= random < 1. */
  random(): number
}

/** Makes ids: prefix and UUIDv7. */
export interface Ids {
  make<Prefix extends string>(prefix: Prefix): `${Prefix}_${string}`
  /** A bare UUIDv7, for agentUid. */
  uuid(): string
}

/** What a model call needs. The adapter never executes tools and never retries. */
export interface ModelRequest {
  definition: AgentDefinition
  /** `provider/model`: the definition's own or one of its fallbacks. */
  model: string
  agentUid: AgentUid
  agentName: string
  runId: RunId
  step: number
  /** How many model calls of this run have been committed before. */
  modelCall: number
  /** How often this step's call was tried before in this process. */
  attempt: number
  instructions: string
  /** The conversation of the window, oldest first; the last user message of the run is in it. */
  messages: readonly ModelMessage[]
  /** The text of the message that opened the run, for models that are scripted. */
  opening: ModelMessage | null
  tools: readonly AnyTool[]
  maxOutputTokens: number
  timeouts: { firstChunkMs: number; chunkMs: number }
}

/** A live piece of the answer. `part` counts text and reasoning parts of the answer from 0. */
export interface ModelDelta {
  kind: 'text' | 'reasoning'
  part: number
  text: string
}

/** A call the model asks for, under the provider's own id; `problem` says why it cannot be executed (unknown tool, bad arguments). */
export interface RequestedCall {
  providerCallId: string
  name: string
  input: unknown
  problem: { errorType: 'unknown_tool' | 'validation'; message: string } | null
}

/** A whole answer of the model; `content` holds the parts of the assistant message in the AI SDK's form. */
export interface ModelAnswer {
  content: Exclude<Extract<ModelMessage, { role: 'assistant' }>['content'], string>
  text: string
  reasoning: string
  calls: RequestedCall[]
  usage: Usage
  finish: 'stop' | 'length' | 'tool-calls' | 'content-filter' | 'other'
  /** As the provider names it. */
  provider: string
  model: string
}

/** The tokens a call may cost at most, counted before it is made. */
export interface Estimate {
  /** True where the opening message alone decides: instructions, tools and history add nothing (scripts that name their usage). */
  fixed?: boolean
  inputTokens: number
  outputTokens: number
  /** The shortest answer worth having, for models whose output can be cut by maxOutputTokens; absent where it cannot. */
  leastOutputTokens?: number
}

/** The door to the model providers; it neither retries nor executes tools. */
export interface ModelPort {
  /** Worst case of a call, for the reservation. Pure. */
  estimate(
    request: Pick<ModelRequest, 'model' | 'definition' | 'instructions' | 'messages' | 'opening' | 'modelCall' | 'maxOutputTokens'>,
  ): Estimate
  /** Makes one call. Throws ProviderError, or the signal's reason when aborted. */
  call(request: ModelRequest, onDelta: (delta: ModelDelta) => void, signal: AbortSignal): Promise<ModelAnswer>
}

/** Micro-dollars per million tokens. */
export interface Price {
  inputMicrosPerMillion: number
  outputMicrosPerMillion: number
  cacheReadMicrosPerMillion?: number
  cacheWriteMicrosPerMillion?: number
}

/** A frame for those who watch live; durable events carry `seq`, deltas do not. */
export interface LiveFrame {
  agentUid: AgentUid
  runId: RunId
  epoch: number
  step: number
  attempt: number
  /** Sequence number of the last durable event before this frame. */
  afterSeq: number
  body:
    | { type: 'delta'; kind: 'text' | 'reasoning'; part: number; offset: number; text: string }
    | { type: 'step_reset' }
    | { type: 'committed'; seq: number }
}

/** What executors and readers tell each other beside the database. It may lose everything at any moment. */
export interface Live {
  /** Hands a frame to watchers of this process at once, and to those elsewhere if somebody watches there. Never throws, never waits. */
  emit(frame: LiveFrame): void
  /** Calls back for each frame of the agent until the returned function is called; announces itself to executors elsewhere. */
  watch(agentUid: AgentUid, onFrame: (frame: LiveFrame) => void): () => void
  /** Calls back when somebody elsewhere begins to watch the agent: the executor then emits its text again from offset 0. */
  onWatcher(agentUid: AgentUid, onJoin: () => void): () => void
  /** Tells every process that the run (or all runs of the agent) must look at its flags. Waits 300 ms at most. */
  halt(target: { agentUid: AgentUid; runId: RunId | null }): Promise<void>
  /** Tells every executor of every process to look at its flags: a wide kill or hold. Waits 300 ms at most. */
  haltAll(): Promise<void>
  onHalt(agentUid: AgentUid, onHalt: (runId: RunId | null) => void): () => void
  /** Removes the text that Redis keeps of deleted agents; without Redis there is none. Never throws, waits 300 ms at most. */
  forget(agentUids: readonly AgentUid[]): Promise<void>
  /** Ends connections; for SIGTERM and tests. */
  close(): Promise<void>
}

/** A committed outbox row on its way to Inngest. `dueInMs` counts from now. */
export interface OutboxRow {
  id: string
  kind: 'continue' | 'webhook'
  data: { tenantId: string; agentUid?: string; runId?: string; epoch?: number; deliveryId?: string; lane?: string }
  dueInMs: number
}

/** Sends committed outbox rows to the clock. Throws when the clock does not take them; the rows stay and the sweeper repeats them. */
export interface Queue {
  send(rows: readonly OutboxRow[]): Promise<void>
}

/** Checks the credentials that a process can check alone. */
export interface AccessPort {
  /** True for the deployment's admin key; takes the same time whatever the text. */
  isAdminKey(text: string): boolean
  /** True for the token that opens metrics; takes the same time whatever the text. */
  isMetricsToken(text: string): boolean
  /** The user of a Supabase token. Throws BatonError unauthorized, forbidden or sign_in_unavailable. */
  verifyUser(token: string): Promise<{ id: string; tenant: string }>
  /** False where nothing could ever let anybody in: no key, no admin key, no users. */
  isSetUp(): Promise<boolean>
  /** Trades e-mail and password for a user's token, good for so many milliseconds; null where no users may call. Throws BatonError as verifyUser. */
  signIn: ((email: string, password: string) => Promise<{ token: string; forMs: number }>) | null
}

/** Counts what only this process sees (lib/core/metrics); told to the database beside the work. Never throws. */
export interface Metrics {
  count(name: MetricName, labels?: Labels, by?: number): void
  /** A value of a histogram, in seconds. */
  observe(name: MetricName, labels: Labels, seconds: number): void
  /** True when there is something to tell and it is time to. */
  due(): boolean
  /** Tells the database what was counted since. Never rejects. */
  flush(): Promise<void>
}

/** What a log line carries beside its message. */
export type LogFields = Readonly<Record<string, unknown>>

/** A piece of work as a trace shows it. Attributes follow OpenTelemetry's conventions and hold no content of a conversation. */
export interface SpanInfo {
  name: string
  kind: 'server' | 'client' | 'internal'
  /** A traceparent from outside this process; without one, or with a bad one, the work around it is the parent. */
  parent?: string | null
  attributes: Readonly<Record<string, string | number | boolean | string[]>>
}

/** A span that is open. */
export interface Span {
  set(attributes: SpanInfo['attributes']): void
  /** The work has failed in this way, a name and no message. */
  fail(type: string): void
}

/** Where work stands: what its log lines carry, and its place in a trace, also where nobody records traces. */
export interface Telemetry {
  /** Runs the work so that its log lines carry these fields, beside those around it. */
  within<Result>(fields: LogFields, work: () => Result): Result
  /** Runs the work as a span. Rejects with what the work rejects with. */
  span<Result>(info: SpanInfo, work: (span: Span) => Promise<Result>): Promise<Result>
  /** The present place as a W3C traceparent; null outside of every span. */
  traceparent(): string | null
  /** Sends what was recorded. Never rejects. */
  flush(): Promise<void>
}

/** Text for operators: one line per call. */
export interface Log {
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** One execution of a tool or a model call, told before it starts; the local mode writes its effects log from this. */
export interface EffectRecord {
  kind: 'tool' | 'model'
  agentId: string
  runId: RunId
  /** Of the lease under which it is done. */
  epoch: number
  step: number
  callId?: CallId
  name?: string
  idempotencyKey?: string
  input?: unknown
}

/** One count that work is taken from: `limit` a window. */
export interface RateLimit {
  /** As RateLimit-Policy names it: user, key-messages, tenant, tool, model-tokens, ... */
  name: string
  /** What is counted apart from others. */
  key: string
  limit: number
  windowMs: number
  /** How much this piece of work takes: 1, or tokens. */
  cost: number
}

/** What several counts say together. */
export interface RateVerdict {
  allowed: boolean
  /** The limit that refused, else the one with least left; null where none applies. */
  which: RateLimit | null
  remaining: number
  /** Milliseconds until `which` is whole again; a refused piece of work fits then. */
  resetMs: number
  states: readonly { limit: RateLimit; allowed: boolean; remaining: number; resetMs: number }[]
}

/** Counts work by keys, over all processes where Redis answers and within this one where it does not. Never throws. */
export interface Limiter {
  /** Takes the work from all counts, or from none: one request to Redis, 300 ms at most. */
  check(limits: readonly RateLimit[]): Promise<RateVerdict>
  /** Gives work back that was not done; returns at once. */
  giveBack(limits: readonly RateLimit[]): void
  /** Tells every process, with its next check, that settings have changed; without Redis nobody. */
  announce(): Promise<void>
  /** Looks for such an announcement where no check would. */
  listen(): Promise<void>
  /** `localChecks` counts the checks that only this process has counted because Redis did not answer. */
  status(): { redis: 'off' | 'ok' | 'down'; localChecks: number }
}
