import { z } from 'zod'
import type { AgentDefinition } from '#lib/core/define'
import type { AgentSettings, RunLimits } from '#lib/core/run'

/** Limits that are on by default (2-run-contract, the last section). $10 and 15 minutes of work a run. */
export const defaultLimits: RunLimits = {
  maxSteps: 50,
  maxToolCalls: 100,
  maxCostMicros: 10_000_000,
  maxTokens: 10_000_000,
  maxWallMs: 15 * 60_000,
  sliceMs: 25_000,
}

/** Messages that may wait in an agent's queue. */
export const defaultMaxQueued = 100
/** Tokens that one answer of a model may have. */
export const defaultMaxOutputTokens = 4_096
/** Tools of one answer that run at a time. */
export const defaultToolConcurrency = 3
/** 70 % of a context of 128,000 tokens; a template that uses a larger one raises it. */
export const defaultWindow = { maxTokens: 89_600, maxMessages: 200, keepFirst: 0 }

/** The shortest answer that a call is made for when a budget has no room for a whole one. */
export const leastOutputTokens = 256

const thinking = z.object({ thinking: z.object({ budgetTokens: z.int().positive() }) })

/** Tokens that the model may think beside its answer: the AI SDK adds Anthropic's thinking budget on top of the limit of the answer. */
export function thinkingTokens(definition: AgentDefinition): number {
  const parsed = thinking.safeParse(definition.settings?.providerOptions?.['anthropic'])
  return parsed.success ? parsed.data.thinking.budgetTokens : 0
}

/** What the agent row carries of its template. `price` null means that no price is known and calls are refused. */
export function resolveSettings(
  definition: AgentDefinition,
  version: string,
  price: AgentSettings['price'],
  instructionTokens: number,
): AgentSettings {
  return {
    template: definition.id,
    templateVersion: version,
    model: definition.model,
    price,
    limits: { ...defaultLimits, ...given(definition.limits) },
    maxQueued: definition.maxQueued ?? defaultMaxQueued,
    onBusy: definition.onBusy ?? 'enqueue',
    window: {
      maxTokens: definition.window?.maxTokens ?? defaultWindow.maxTokens,
      maxMessages: definition.window?.maxMessages ?? defaultWindow.maxMessages,
      keepFirst: definition.window?.keepFirst ?? defaultWindow.keepFirst,
    },
    maxOutputTokens: definition.settings?.maxOutputTokens ?? defaultMaxOutputTokens,
    instructionTokens,
    ...(definition.public === true ? { public: true } : {}),
    ...(definition.approvers === undefined ? {} : { approvers: [...definition.approvers] }),
    thinkingTokens: thinkingTokens(definition),
  }
}

/** Without what is there and undefined, as most type checks let it be written: it has its default. */
function given(limits: Partial<RunLimits> = {}): Partial<RunLimits> {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}
