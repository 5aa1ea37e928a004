import { agentNamePattern } from '#lib/core/ids'

/** The kinds of a scope: one grammar for budgets, kill, limits and audit (3-http-api). */
export const scopeKinds = ['global', 'tenant', 'user', 'key', 'agent', 'run', 'tool'] as const

/** What a scope names; `id` is null for global and tenant, `*` means all of the kind where the caller allows it. */
export interface Scope {
  kind: (typeof scopeKinds)[number]
  id: string | null
}

const idPatterns: Readonly<Record<Exclude<Scope['kind'], 'global' | 'tenant'>, RegExp>> = {
  user: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  key: /^[A-Za-z0-9_-]{1,128}$/,
  agent: agentNamePattern,
  run: /^run_[0-9a-zA-Z]{1,64}$/,
  tool: /^[A-Za-z0-9_-]{1,64}$/,
}

/**
 * `global | tenant | user:ID | key:ID | agent:ID | run:ID | tool:NAME`, split at the first colon (agent ids may have more of them), or
 * null for what is no scope. User ids are taken in any case and are lower case after. The text is decoded already.
 */
export function parseScope(text: string): Scope | null {
  const colon = text.indexOf(':')
  const kind = scopeKinds.find((known) => known === (colon < 0 ? text : text.slice(0, colon)))
  if (kind === undefined) return null
  if (kind === 'global' || kind === 'tenant') return colon < 0 ? { kind, id: null } : null
  if (colon < 0) return null
  const given = text.slice(colon + 1)
  const id = kind === 'user' ? given.toLowerCase() : given
  return id === '*' || idPatterns[kind].test(id) ? { kind, id } : null
}

/** The one spelling of a scope. */
export function scopeText({ kind, id }: Scope): string {
  return id === null ? kind : `${kind}:${id}`
}
