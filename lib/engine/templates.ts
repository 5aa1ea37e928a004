import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { AgentDefinition } from '#lib/core/define'
import { hookStages } from '#lib/core/hooks'
import { resolveSettings } from '#lib/core/limits'
import { reservationPrice, type ModelPrice } from '#lib/core/prices'
import { estimateTokens, jsonBytes, toolPreambleTokens } from '#lib/core/window'
import type { Templates } from '#lib/engine/services'

/**
 * The deployed templates with version and settings of each. The version is the hash of what `describe` gives
 * (docs/templates.md). Throws a TypeError when two templates share an id.
 */
export function deployTemplates(definitions: readonly AgentDefinition[], price: (model: string) => ModelPrice | null): Templates {
  const deployed = new Map<string, { definition: AgentDefinition; version: string; settings: ReturnType<typeof resolveSettings> }>()
  for (const definition of definitions) {
    if (deployed.has(definition.id)) throw new TypeError(`two templates have the id ${definition.id}`)
    const described = describe(definition)
    const version = createHash('sha256').update(JSON.stringify(described)).digest('hex').slice(0, 16)
    const preamble = (definition.tools ?? []).length > 0 ? toolPreambleTokens : 0
    const instructionTokens = estimateTokens(jsonBytes(described)) + preamble
    const plain = resolveSettings(definition, version, null, instructionTokens)
    const settings = { ...plain, price: reservationPrice(price(definition.model), plain.window.maxTokens + instructionTokens) }
    deployed.set(definition.id, { definition, version, settings })
  }
  return {
    get: (id) => deployed.get(id)?.definition,
    ids: () => [...deployed.keys()],
    versions: Object.fromEntries([...deployed].map(([id, { version }]) => [id, version])),
    settings: (id) => deployed.get(id)?.settings ?? null,
    fallback: definitions[0]?.id ?? null,
  }
}

function describe(definition: AgentDefinition): object {
  const { instructions, tools = [], hooks = [], permission, ...rest } = definition
  return {
    ...rest,
    instructions: typeof instructions === 'string' ? instructions : instructions.toString(),
    ...(permission === undefined ? {} : { permission: { ...permission, decide: permission.decide?.toString() } }),
    // By name: a hook is code, and a changed one applies to open runs as everything deployed does.
    ...(hooks.length === 0
      ? {}
      : { hooks: hooks.map((hook) => ({ name: hook.name, stages: hookStages.filter((stage) => hook[stage] !== undefined) })) }),
    tools: tools.map((tool) => ({
      name: tool.name,
      description: tool.description,
      effect: tool.effect,
      timeoutMs: tool.timeoutMs,
      expiresMs: tool.expiresMs,
      input: z.toJSONSchema(tool.input, { unrepresentable: 'any' }),
    })),
  }
}
