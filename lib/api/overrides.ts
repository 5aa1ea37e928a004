import type { AgentDefinition } from '#lib/core/define'
import type { Overrides } from '#lib/core/overrides'
import { checkPermission, type PermissionRules } from '#lib/core/policy'
import { canonicalJson } from '#lib/http/json'
import { refuse, type FieldProblem } from '#lib/http/validate'

/**
 * What a new agent is made with: `permission` at the top is another name of `overrides.permission`. Checked against the tools of its
 * template. Throws BatonError validation with every contradiction and every pattern that matches nothing.
 */
export function checkedOverrides(
  definition: AgentDefinition | undefined,
  body: { overrides?: Overrides | undefined; permission?: PermissionRules | undefined },
): Overrides {
  const { overrides = {}, permission } = body
  const problems: FieldProblem[] = []
  if (permission !== undefined && overrides.permission !== undefined && canonicalJson(permission) !== canonicalJson(overrides.permission)) {
    problems.push({ in: 'body', path: '/permission', message: 'says something else than overrides.permission; send one of them' })
  }
  const rules = overrides.permission ?? permission
  if (rules === undefined) return overrides
  const at = overrides.permission === undefined ? '/permission' : '/overrides/permission'
  const names = (definition?.tools ?? []).map((tool) => tool.name)
  for (const { path, message } of checkPermission(rules, names, definition?.permission?.decide !== undefined)) {
    problems.push({ in: 'body', path: at + path, message })
  }
  if (problems.length > 0) refuse(problems)
  return { ...overrides, permission: rules }
}
