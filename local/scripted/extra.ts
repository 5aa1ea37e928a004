import { z } from 'zod'
import { defineAgent, type AgentDefinition, type AnyTool } from '#lib/core/define'
import { dollars, type ModelPrice } from '#lib/core/prices'
import { permissionRules, type PolicyCall, type Rule } from '#lib/core/policy'
import { onBusy, runLimits } from '#lib/core/run'
import type { ProviderEnv } from '#lib/models/provider-entry'
import { scriptedTools } from '#local/scripted/tools'

const count = z.int().nonnegative()
const model = z.string().regex(/.\/./, 'must read provider/model')

const extra = z.strictObject({
  templates: z.array(
    z.strictObject({
      id: z.string(),
      model,
      fallback: z.array(model).exactOptional(),
      models: z.array(model).exactOptional(),
      instructions: z.string().default('Play the script.'),
      limits: runLimits.partial().exactOptional(),
      maxQueued: count.exactOptional(),
      onBusy: onBusy.exactOptional(),
      window: z
        .strictObject({ maxTokens: count.exactOptional(), maxMessages: count.exactOptional(), keepFirst: count.exactOptional() })
        .exactOptional(),
      toolConcurrency: z.int().positive().exactOptional(),
      unknownOutcome: z.enum(['seal', 'fail', 'pause']).exactOptional(),
      permission: permissionRules.exactOptional(),
      public: z.boolean().exactOptional(),
      approvers: z.array(z.literal('owner')).exactOptional(),
      approvalExpiresMs: count.exactOptional(),
      approvalDefault: z.enum(['allow', 'deny']).exactOptional(),
      /** Mode custom asks, allows or denies a call by the word in its input's `key`; any other key makes the function throw. */
      decides: z.literal('by-key').exactOptional(),
      /** What calls of the scripted tools cost, in micro-dollars. */
      toolCosts: z.record(z.string(), count).default({}),
    }),
  ),
  /** Dollars per million tokens of `provider/model`. */
  prices: z.record(z.string(), z.strictObject({ input: z.number(), output: z.number() })).default({}),
})

/** What BATON_LOCAL_TEMPLATES brings. */
export interface ExtraTemplates {
  definitions: readonly AgentDefinition[]
  price(model: string): ModelPrice | null
}

/** A value of BATON_LOCAL_TEMPLATES. */
export function localTemplates(value: z.input<typeof extra>): Record<string, string> {
  return { BATON_LOCAL_TEMPLATES: JSON.stringify(value) }
}

/**
 * Templates of local mode beside `scripted`, with its tools, from the JSON in BATON_LOCAL_TEMPLATES: so that tests can drive other
 * limits, windows, models and fallbacks on a built server. Throws where the JSON is not valid.
 */
export function extraTemplates(env: ProviderEnv): ExtraTemplates {
  const text = env('BATON_LOCAL_TEMPLATES') ?? ''
  const { templates, prices } = text === '' ? { templates: [], prices: {} } : extra.parse(JSON.parse(text))
  const known = new Map(Object.entries(prices).map(([name, price]) => [name, dollars(price)]))
  return {
    definitions: templates.map(({ decides, permission, toolCosts, ...template }) => {
      const rules = decides === undefined ? permission : { ...permission, decide: byKey }
      return defineAgent({
        ...template,
        limits: given(template.limits),
        tools: scriptedTools.map((tool) => priced(tool, toolCosts[tool.name])),
        ...(rules === undefined ? {} : { permission: rules }),
      })
    }),
    price: (name) => known.get(name) ?? null,
  }
}

const keyed = z.looseObject({ key: z.enum(['allow', 'ask', 'deny']) })

function byKey({ input }: PolicyCall): Rule {
  return keyed.parse(input).key
}

function priced(tool: AnyTool, costMicros: number | undefined): AnyTool {
  return costMicros === undefined ? tool : { ...tool, costMicros }
}

/** The limits that were named. */
function given(limits: Record<string, number | undefined> = {}): Record<string, number> {
  return Object.fromEntries(Object.entries(limits).filter((entry): entry is [string, number] => entry[1] !== undefined))
}
