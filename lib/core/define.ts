import type { z } from 'zod'
import { defineHook, type HookDefinition } from '#lib/core/hooks'
import { checkNumbers, longestWaitMs, type Range } from '#lib/core/numbers'
import { checkPermission, permissionModes, type Permission } from '#lib/core/policy'
import { effect, onBusy, type Effect, type OnBusy, type RunLimits } from '#lib/core/run'
import { inputSchemaOf } from '#lib/core/tool-schema'
import { checkFields, checkWords } from '#lib/core/words'

/** What a tool is given besides its input. A run outlives the user's token, so tools get the user's id, never the token. */
export interface ToolContext {
  tenantId: string
  userId: string | null
  agentId: string
  runId: string
  step: number
  callId: string
  /** The same for every attempt of this call: hand it to the service that you call. */
  idempotencyKey: string
  attempt: number
  metadata: Record<string, unknown>
  /** Aborts at the tool's time-out, at the hard limit, when the lease is lost and when the run is stopped. */
  signal: AbortSignal
  /** Milliseconds since the epoch after which the signal aborts. */
  deadline: number
  /**
   * Values of the agent that the outcome's commit writes; a read sees what earlier commits wrote and what this call set. What goes in and out
   * is a copy, as JSON has it; undefined takes a value away. `set` throws a TypeError for what is no JSON, above 64 KB a value and 256 KB all of it,
   * and for a key that has not 1 to 128 characters.
   */
  state: { get(key: string): unknown; set(key: string, value: unknown): void }
  /** Adds a copy as a `custom` event of the monitor channel, committed with the outcome. Throws a TypeError above 64 KB of JSON. */
  emit(type: string, data: unknown): void
  log(message: string, fields?: Record<string, unknown>): void
}

/** A tool as its author writes it; `effect` says what a crash may do to a call. */
export interface ToolDefinition<Input = unknown, Output = unknown, Name extends string = string> {
  name: Name
  description: string
  input: z.ZodType<Input>
  output?: z.ZodType<Output>
  effect: Effect
  timeoutMs?: number
  /** Of an external tool: how long the outside has to answer, in milliseconds (default 24 hours). */
  expiresMs?: number
  /** What a call costs, in micro-dollars: charged to all budgets of the run when the call starts. */
  costMicros?: number
  run?(input: Input, context: ToolContext): Promise<Output> | Output
}

/** A tool of any input, as registries hold it; the engine hands `run` only what `input` has parsed. */
export interface AnyTool {
  name: string
  description: string
  input: z.ZodType
  output?: z.ZodType
  effect: Effect
  timeoutMs?: number
  /** Of an external tool: how long the outside has to answer, in milliseconds (default 24 hours). */
  expiresMs?: number
  costMicros?: number
  run?(input: never, context: ToolContext): unknown
}

/** All fields of a type: the compiler misses one that is not named. */
type Fields<Of> = Readonly<Record<keyof Of, true>>

const toolFields: Fields<AnyTool> = {
  name: true,
  description: true,
  input: true,
  output: true,
  effect: true,
  timeoutMs: true,
  expiresMs: true,
  costMicros: true,
  run: true,
}
const toolNumbers = { timeoutMs: { least: 1 }, expiresMs: { least: 1, most: longestWaitMs }, costMicros: { least: 0 } }

/**
 * Describes a tool. `effect` has no default: the author must say what a crash may do. An `external` tool has no `run`.
 * Throws a TypeError for a name outside `[A-Za-z0-9_-]{1,64}`, an unknown effect or field, a number out of its range, an `input` that no model can write, or when `run`
 * and `effect` contradict each other.
 */
export function defineTool<Input, Output, const Name extends string>(
  tool: ToolDefinition<Input, Output, Name>,
): ToolDefinition<Input, Output, Name> {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(tool.name)) throw new TypeError(`tool name "${tool.name}": use 1 to 64 of A-Z a-z 0-9 _ -`)
  checkWords(`tool ${tool.name}`, tool, { effect: effect.options }, Object.keys(toolFields))
  if ((tool.effect === 'external') === (tool.run !== undefined)) {
    throw new TypeError(`tool ${tool.name}: ${tool.effect === 'external' ? 'an external tool has no run' : 'run is missing'}`)
  }
  if (tool.expiresMs !== undefined && tool.effect !== 'external') {
    throw new TypeError(`tool ${tool.name}: expiresMs is for external tools only`)
  }
  checkNumbers(`tool ${tool.name}`, tool, toolNumbers)
  inputSchemaOf(tool)
  return tool
}

/** What an agent's instructions function is given. */
export interface InstructionContext {
  tenantId: string
  userId: string | null
  agentId: string
  metadata: Record<string, unknown>
}

/** A template as its author writes it; its version is the hash of it (docs/templates.md says of what). */
export interface AgentDefinition<Tools extends readonly AnyTool[] = readonly AnyTool[]> {
  id: string
  /** `provider/model`, as lib/providers.ts registers providers. */
  model: string
  /** Tried in order when the model's retries are used up. */
  fallback?: readonly string[]
  /** More models that the overrides of an agent or a message may name. */
  models?: readonly string[]
  /** A function is asked before each model call and has 5 s; a throw or a time-out ends the run as `hook_failed`. */
  instructions: string | ((context: InstructionContext) => string | Promise<string>)
  tools?: Tools
  /** Asked in their order before and after tools and model calls (docs/templates.md). */
  hooks?: readonly HookDefinition[]
  limits?: Partial<RunLimits>
  maxQueued?: number
  onBusy?: OnBusy
  window?: { maxTokens?: number; maxMessages?: number; keepFirst?: number }
  settings?: {
    temperature?: number
    maxOutputTokens?: number
    providerOptions?: Record<string, Record<string, z.core.util.JSONType>>
  }
  /** How many tools of one answer run at a time (default 3). */
  toolConcurrency?: number
  /** What becomes of a `once` call with an unknown outcome: `seal` (default) tells the model, `fail` ends the run, `pause` asks a person. */
  unknownOutcome?: 'seal' | 'fail' | 'pause'
  /** Which calls run, which need a person, which are refused: deny > ask > allow > mode (default: all run). */
  permission?: Permission
  /** Who may decide beside keys with `approvals:decide`: `owner` is the signed-in user whose agent it is. */
  approvers?: readonly 'owner'[]
  /** How long an approval waits, in milliseconds (default 7 days), and what happens then (default deny). */
  approvalExpiresMs?: number
  approvalDefault?: 'allow' | 'deny'
  /** True opens the template to signed-in users; without it only API keys and the operator use it. */
  public?: boolean
}

const agentFields: Fields<AgentDefinition> = {
  id: true,
  model: true,
  fallback: true,
  models: true,
  instructions: true,
  tools: true,
  hooks: true,
  limits: true,
  maxQueued: true,
  onBusy: true,
  window: true,
  settings: true,
  toolConcurrency: true,
  unknownOutcome: true,
  permission: true,
  approvers: true,
  approvalExpiresMs: true,
  approvalDefault: true,
  public: true,
}
const permissionFields: Fields<Permission> = { mode: true, allow: true, ask: true, deny: true, decide: true }
const permissionWords = { mode: [undefined, ...permissionModes] }
const agentWords = {
  onBusy: [undefined, ...onBusy.options],
  unknownOutcome: [undefined, 'seal', 'fail', 'pause'],
  approvalDefault: [undefined, 'allow', 'deny'],
  public: [undefined, true, false],
} as const
const agentNumbers = {
  // The database counts it in 32 bits.
  maxQueued: { least: 0, most: 2_147_483_647 },
  toolConcurrency: { least: 1 },
  approvalExpiresMs: { least: 1, most: longestWaitMs },
}
const windowNumbers = { maxTokens: { least: 1 }, maxMessages: { least: 1 }, keepFirst: { least: 0 } }
const settingNumbers = { temperature: { least: 0, fraction: true }, maxOutputTokens: { least: 1 } } as const
const limitNumbers: Readonly<Record<keyof RunLimits, Range>> = {
  maxSteps: { least: 0 },
  maxToolCalls: { least: 0 },
  maxCostMicros: { least: 0 },
  maxTokens: { least: 0 },
  maxWallMs: { least: 0 },
  sliceMs: { least: 1 },
  maxPerCallMicros: { least: 0 },
}

/**
 * Describes a template. Throws a TypeError for a bad id, doubled tool or hook names, a model without a provider prefix, a word or field that
 * there is not, a number out of its range or contradicting rules.
 */
export function defineAgent<const Tools extends readonly AnyTool[] = readonly []>(agent: AgentDefinition<Tools>): AgentDefinition<Tools> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(agent.id))
    throw new TypeError(`template id "${agent.id}": use 1 to 64 of A-Z a-z 0-9 _ . -`)
  for (const model of [agent.model, ...(agent.fallback ?? []), ...(agent.models ?? [])])
    if (!model.includes('/')) throw new TypeError(`template ${agent.id}: model "${model}" must read provider/model`)
  checkTemplateWords(`template ${agent.id}`, agent)
  const names = checkNames(agent.id, 'tools', agent.tools ?? [])
  checkNames(agent.id, 'hooks', agent.hooks ?? [])
  for (const hook of agent.hooks ?? []) defineHook(hook)
  for (const tool of agent.tools ?? []) checkWords<AnyTool>(`tool ${tool.name}`, tool, { effect: effect.options }, Object.keys(toolFields))
  const [problem] = checkPermission(agent.permission ?? {}, names)
  if (problem !== undefined) throw new TypeError(`template ${agent.id}: permission${problem.path}: ${problem.message}`)
  checkNumbers(`template ${agent.id}`, agent, agentNumbers)
  checkNumbers(`template ${agent.id}`, agent.limits, limitNumbers, 'limits.')
  checkNumbers(`template ${agent.id}`, agent.window, windowNumbers, 'window.')
  checkNumbers(`template ${agent.id}`, agent.settings, settingNumbers, 'settings.')
  return agent
}

function checkTemplateWords(what: string, agent: AgentDefinition): void {
  checkWords<AgentDefinition>(what, agent, agentWords, Object.keys(agentFields))
  if (!['string', 'function'].includes(typeof agent.instructions)) throw new TypeError(`${what}: instructions is a text or a function`)
  checkWords<Permission>(`${what}: permission`, agent.permission ?? {}, permissionWords, Object.keys(permissionFields))
  for (const approver of agent.approvers ?? [])
    if (approver !== 'owner') throw new TypeError(`${what}: approvers can be 'owner'; keys with approvals:decide may always decide`)
  checkFields(`${what}: limits`, agent.limits, Object.keys(limitNumbers))
  checkFields(`${what}: window`, agent.window, Object.keys(windowNumbers))
  checkFields(`${what}: settings`, agent.settings, [...Object.keys(settingNumbers), 'providerOptions'])
}

function checkNames(id: string, kind: string, named: readonly { name: string }[]): string[] {
  const names = named.map(({ name }) => name)
  if (names.some((name) => typeof name !== 'string' || name === '')) throw new TypeError(`template ${id}: one of its ${kind} has no name`)
  const doubled = names.find((name, index) => names.indexOf(name) !== index)
  if (doubled !== undefined) throw new TypeError(`template ${id}: two ${kind} are named ${doubled}`)
  return names
}
