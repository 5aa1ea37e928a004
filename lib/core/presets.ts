import type { AgentDefinition } from '#lib/core/define'
import type { Narrowing, Overrides, PresetName } from '#lib/core/overrides'
import { checkPermission } from '#lib/core/policy'

/** What a preset narrows. `unlisted: 'deny'`: tools that `permission.allow` does not name are denied, so that no list allows nothing. */
interface Preset extends Pick<Narrowing, 'expiresInMs' | 'limits' | 'rate'> {
  unlisted?: 'deny'
}

const dollar = 1_000_000
const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** The presets (docs/templates.md): money in micro-dollars, times in milliseconds. */
export const presets: Readonly<Record<PresetName, Preset>> = {
  restricted: { limits: { maxCostMicros: dollar, maxPerCallMicros: dollar / 10 }, expiresInMs: hourMs },
  development: { limits: { maxCostMicros: 10 * dollar }, expiresInMs: 24 * hourMs },
  production: { limits: { maxCostMicros: 100 * dollar, maxPerCallMicros: 5 * dollar }, rate: { calls: 1_000, ms: hourMs } },
  temporary: {
    limits: { maxCostMicros: dollar / 2, maxPerCallMicros: dollar / 20 },
    rate: { calls: 10, ms: minuteMs },
    expiresInMs: 5 * minuteMs,
    unlisted: 'deny',
  },
}

/** One thing wrong with overrides: where in them (JSON Pointer), and what. */
export interface OverrideProblem {
  path: string
  message: string
}

/** The models that an override may name: the template's own, its fallbacks and those that it lists as allowed. */
export function allowedModels(definition: AgentDefinition): string[] {
  return [...new Set([definition.model, ...(definition.fallback ?? []), ...(definition.models ?? [])])]
}

/** Resolves overrides against their template; with problems, nothing of it may be used. */
export function narrow(asked: Overrides, definition: AgentDefinition): { narrowing: Narrowing; problems: OverrideProblem[] } {
  const problems: OverrideProblem[] = []
  const { model, permission, preset, expiresAt } = asked
  const models = allowedModels(definition)
  if (model !== undefined && !models.includes(model)) {
    problems.push({ path: '/model', message: `the template allows ${models.join(', ')}` })
  }
  if (permission !== undefined) {
    const tools = (definition.tools ?? []).map(({ name }) => name)
    for (const problem of checkPermission(permission, tools, definition.permission?.decide !== undefined))
      problems.push({ ...problem, path: `/permission${problem.path}` })
  }
  const { unlisted, ...limited }: Preset = preset === undefined ? {} : presets[preset]
  const rules = unlisted === 'deny' ? { ...permission, mode: 'auto' as const, allow: permission?.allow ?? [] } : permission
  return {
    narrowing: {
      ...limited,
      ...(model === undefined ? {} : { model }),
      ...(rules === undefined ? {} : { permission: rules }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    },
    problems,
  }
}
