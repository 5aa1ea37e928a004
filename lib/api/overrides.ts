import type { PermissionRules } from '#lib/core/policy'
import type { Narrowing, Overrides } from '#lib/core/overrides'
import { narrow } from '#lib/core/presets'
import type { Authority } from '#lib/core/store'
import { canonicalJson } from '#lib/http/json'
import { refuse } from '#lib/http/validate'
import type { Services } from '#lib/services'

/**
 * The overrides of a new agent: `permission` at the top is another name of `overrides.permission`. Throws BatonError validation where
 * both stand and differ.
 */
export function overridesOf(body: { overrides?: Overrides | undefined; permission?: PermissionRules | undefined }): Overrides {
  const { overrides = {}, permission } = body
  if (permission === undefined) return overrides
  if (overrides.permission !== undefined && canonicalJson(permission) !== canonicalJson(overrides.permission)) {
    refuse([{ in: 'body', path: '/permission', message: 'says something else than overrides.permission; send one of them' }])
  }
  return { ...overrides, permission }
}

/**
 * The overrides of a request as the rows will hold them; null without any. Throws BatonError validation with every problem;
 * `within` says where the permission stood.
 * `template` null: that of the agent, which costs one read more, or else the first of the registry, which a new agent would get.
 */
export async function narrowingOf(
  services: Pick<Services, 'store' | 'templates'>,
  authority: Authority,
  agent: { name: string | null; template: string | null },
  asked: Overrides | undefined,
  within: 'overrides' | 'permission' = 'overrides',
): Promise<Narrowing | null> {
  if (asked === undefined || Object.keys(asked).length === 0) return null
  const definition = services.templates.get(agent.template ?? (await templateOf(services, authority, agent.name)) ?? '')
  // Whether the template is missing is the database's to say: it knows the agent.
  if (definition === undefined) return null
  const { narrowing, problems } = narrow(asked, definition)
  if (problems.length === 0) return narrowing
  refuse(
    problems.map(({ path, message }) => ({
      in: 'body',
      path: within === 'permission' && path.startsWith('/permission') ? path : `/overrides${path}`,
      message,
    })),
  )
}

async function templateOf(
  services: Pick<Services, 'store' | 'templates'>,
  authority: Authority,
  name: string | null,
): Promise<string | null> {
  const answer = name === null ? null : await services.store.getAgent(authority, name)
  return answer?.ok === true ? answer.agent.template : services.templates.fallback
}
