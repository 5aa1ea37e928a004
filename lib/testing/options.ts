import type { z } from 'zod'
import type { AgentDefinition, AnyTool, ToolContext } from '#lib/core/define'
import { parseSafely } from '#lib/core/parse'
import { permissionRules, type PermissionRules } from '#lib/core/policy'
import { narrow } from '#lib/core/presets'
import { lowerLimits, type LowerLimits, type RunLimits } from '#lib/core/run'

/** Stand-ins for the `run` of tools, by name. */
export type StandIns = Record<string, (input: never, context: ToolContext) => unknown>
/** What the outside answers to calls of external tools, by name. */
export type OutsideAnswers = Record<string, (input: unknown) => unknown>

interface Checked {
  tools?: StandIns
  external?: OutsideAnswers
  limits?: LowerLimits
  permission?: PermissionRules
}

/**
 * Holds what a test says against the template: rules and limits as the API does, and each name against its tools, so that no misspelled
 * one lets a real tool run. Throws a TypeError with every problem.
 */
export function checkOptions(definition: AgentDefinition, limits: RunLimits, options: Checked): void {
  const problems = [
    ...rulesProblems(definition, options.permission),
    ...limitProblems(limits, options.limits),
    ...toolProblems(definition, options),
  ]
  if (problems.length > 0) throw new TypeError(`testAgent: ${problems.join('; ')}`)
}

function rulesProblems(definition: AgentDefinition, permission: PermissionRules | undefined): string[] {
  if (permission === undefined) return []
  const parsed = permissionRules.safeParse(permission)
  if (!parsed.success) return issues('permission', parsed.error)
  return narrow({ permission: parsed.data }, definition).problems.map(({ path, message }) => `${path.slice(1)}: ${message}`)
}

function limitProblems(own: RunLimits, limits: LowerLimits | undefined): string[] {
  if (limits === undefined) return []
  const parsed = lowerLimits.safeParse(limits)
  if (!parsed.success) return issues('limits', parsed.error)
  const most = new Map<string, unknown>(Object.entries(own))
  return Object.entries(parsed.data).flatMap(([name, value]) => {
    const limit = most.get(name)
    return typeof limit === 'number' && value > limit ? [`limits/${name}: ${value} is above the ${limit} of the template`] : []
  })
}

function toolProblems({ tools = [] }: AgentDefinition, options: Checked): string[] {
  const known = tools.map(({ name }) => name).join(', ') || 'no tools'
  const problem = (of: 'tools' | 'external', name: string, run: unknown): string | null => {
    const tool = tools.find((one) => one.name === name)
    if (tool === undefined) return `is no tool of the template; it has ${known}`
    if (typeof run !== 'function') return 'is no function'
    const outside = tool.effect === 'external'
    if (of === 'tools') return outside ? 'is done outside; answer for it in `external`' : null
    return outside ? null : 'runs here; give its stand-in in `tools`'
  }
  return (['tools', 'external'] as const).flatMap((of) =>
    Object.entries(options[of] ?? {}).flatMap(([name, run]) => {
      const said = problem(of, name, run)
      return said === null ? [] : [`${of}: ${name} ${said}`]
    }),
  )
}

function issues(where: string, error: z.ZodError): string[] {
  return error.issues.map(({ path, message }) => `${[where, ...path.map(String)].join('/')}: ${message}`)
}

/**
 * A result from outside as it comes in over HTTP: JSON that fits what the tool says of its output. Throws a TypeError where the API
 * would refuse it.
 */
export async function fromOutside(tool: AnyTool | undefined, result: unknown): Promise<unknown> {
  const sent: unknown = JSON.parse(JSON.stringify(result ?? null))
  const parsed = tool?.output === undefined ? undefined : await parseSafely(tool.output, sent)
  if (parsed?.success === false) {
    throw new TypeError(`testAgent: the result of ${tool?.name} does not fit its output: ${issues('output', parsed.error).join('; ')}`)
  }
  return sent
}

/** What a record of functions has under the name itself: a tool may be called as what every object inherits. */
export function own<Value>(record: Record<string, Value> | undefined, name: string): Value | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined
}
