import { z } from 'zod'
import type { Effect } from '#lib/core/run'

/** What happens to a tool call: it runs, a person decides, or it is refused. */
export type Rule = 'allow' | 'ask' | 'deny'

/** What happens to calls that no list names: run all, ask for all, run what is pure, or ask a function of the template. */
export const permissionModes = ['auto', 'approval', 'readonly', 'custom'] as const
/** A tool's name, or a pattern of names in which `*` stands for any characters or none. */
export const toolPattern = z.string().regex(/^[A-Za-z0-9_*-]{1,64}$/, 'a tool name or pattern has 1 to 64 of A-Z a-z 0-9 _ - and *')
const patterns = z.array(toolPattern).max(200)

/** Rules that a caller may send or a row may hold: deny > ask > allow > mode (2-run-contract, Permissions). */
export const permissionRules = z.strictObject({
  mode: z.enum(permissionModes).exactOptional(),
  allow: patterns.exactOptional(),
  ask: patterns.exactOptional(),
  deny: patterns.exactOptional(),
})
export type PermissionRules = z.infer<typeof permissionRules>

/** The call that a template's own function is asked about. */
export interface PolicyCall {
  name: string
  effect: Effect
  input: unknown
}

/** Who is at work, for a template's own function. */
export interface PolicyContext {
  tenantId: string
  userId: string | null
  agentId: string
  runId: string
  step: number
  metadata: Record<string, unknown>
}

/** The permission of a template; `decide` answers for the calls that no list names in mode `custom`. A throw denies the call. */
export interface Permission {
  mode?: (typeof permissionModes)[number]
  allow?: readonly string[]
  ask?: readonly string[]
  deny?: readonly string[]
  decide?(call: PolicyCall, context: PolicyContext): Rule | Promise<Rule>
}

/** A rule with the words that tell why. */
export interface Verdict {
  rule: Rule
  reason: string
}

/** Everything that may say something about a call. An override can only narrow: the strictest layer wins. */
export interface PolicyLayers {
  template?: Permission | undefined
  /** What the agent was made with: its preset and its permission. */
  agent?: readonly Permission[] | undefined
  /** Names that a person has allowed for this agent for good: they lift an ask of the template or the agent, never a deny. */
  always?: readonly string[] | undefined
  /** What the message brought; also narrows what a person has allowed for good. */
  message?: readonly Permission[] | undefined
}

/** True when the name fits the pattern. Linear in both, and no expression is ever made from what a caller wrote. */
export function matchesName(pattern: string, name: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return pattern === name
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false
  let at = first.length
  for (const part of rest) {
    const found = name.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return at <= name.length - last.length
}

/** What one layer says: a list, or its mode. `custom` means that the template's function must be asked. */
export function ruleOf(tool: { name: string; effect: Effect }, permission: Permission): Verdict | 'custom' {
  const listed = (list: readonly string[] | undefined): string | undefined => list?.find((pattern) => matchesName(pattern, tool.name))
  const denied = listed(permission.deny)
  if (denied !== undefined) return { rule: 'deny', reason: `deny names ${denied}` }
  const asked = listed(permission.ask)
  if (asked !== undefined) return { rule: 'ask', reason: `ask names ${asked}` }
  const allowed = listed(permission.allow)
  if (allowed !== undefined) return { rule: 'allow', reason: `allow names ${allowed}` }
  switch (permission.mode ?? 'auto') {
    case 'auto':
      if (permission.allow !== undefined) return { rule: 'deny', reason: 'allow does not name it' }
      return { rule: 'allow', reason: 'mode auto' }
    case 'approval':
      return { rule: 'ask', reason: 'mode approval' }
    case 'readonly':
      return tool.effect === 'pure'
        ? { rule: 'allow', reason: 'mode readonly, and the tool is pure' }
        : { rule: 'deny', reason: `mode readonly, and the tool is ${tool.effect}` }
    case 'custom':
      return 'custom'
  }
}

const strictness: Record<Rule, number> = { deny: 2, ask: 1, allow: 0 }

/** The strictest of several verdicts; of equals, the first. None at all allows. */
export function strictest(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce((worst, next) => (strictness[next.rule] > strictness[worst.rule] ? next : worst), {
    rule: 'allow',
    reason: 'no rule is against it',
  })
}

/**
 * What becomes of a call under all layers. `custom` is asked at most once, and not for what is denied anyway; it must not reject.
 */
export async function rule(tool: { name: string; effect: Effect }, layers: PolicyLayers, custom: () => Promise<Verdict>): Promise<Verdict> {
  const say = (permissions: readonly Permission[]): (Verdict | 'custom')[] => permissions.map((permission) => ruleOf(tool, permission))
  const lasting = say([...(layers.template === undefined ? [] : [layers.template]), ...(layers.agent ?? [])])
  const passing = say(layers.message ?? [])
  const all = [...lasting, ...passing]
  const denied = all.find((verdict): verdict is Verdict => verdict !== 'custom' && verdict.rule === 'deny')
  if (denied !== undefined) return denied
  const answer = all.includes('custom') ? await custom() : null
  const known = (verdicts: (Verdict | 'custom')[]): Verdict[] =>
    verdicts.flatMap((verdict) => (verdict === 'custom' ? (answer ?? []) : verdict))
  const standing = strictest(known(lasting))
  const lifted =
    standing.rule === 'ask' && layers.always?.includes(tool.name) === true
      ? { rule: 'allow' as const, reason: 'allowed for this agent for good' }
      : standing
  return strictest([lifted, ...known(passing)])
}

/** One thing wrong with a permission: where in it (JSON Pointer), and what. */
export interface PermissionProblem {
  path: string
  message: string
}

/**
 * Contradictions and patterns that can have no effect, against the tools of the template. A tool in two lists is none, since the
 * order decides (deny > ask > allow); the same words in allow and deny are, for one of them is a mistake.
 */
export function checkPermission(
  permission: Permission,
  toolNames: readonly string[],
  custom = permission.decide !== undefined,
): PermissionProblem[] {
  const problems: PermissionProblem[] = []
  for (const list of ['allow', 'ask', 'deny'] as const) {
    for (const [index, pattern] of (permission[list] ?? []).entries()) {
      const path = `/${list}/${index}`
      if (!toolPattern.safeParse(pattern).success) problems.push({ path, message: `"${pattern}" is no tool name or pattern` })
      else if (!toolNames.some((name) => matchesName(pattern, name))) {
        problems.push({ path, message: `${pattern} matches no tool of the template; it has ${toolNames.join(', ') || 'no tools'}` })
      }
      if (list === 'allow' && permission.deny?.includes(pattern) === true) {
        problems.push({ path, message: `${pattern} stands in deny too, which wins; take it out of one of them` })
      }
    }
  }
  if (permission.mode === 'custom' && !custom) {
    problems.push({ path: '/mode', message: 'mode custom needs a decide function in the template' })
  }
  return problems
}
