import { about, variables } from '#lib/env/variables'

/** The text of .env.example: each variable with its sentence and its default, all commented out, so that a copy changes nothing. */
export function envExample(): string {
  const lines = ['# Written by `npm run docs` from lib/env/variables.ts: do not edit. Copy to .env.local.']
  const defaults = new Map<string, string>()
  let group = ''
  for (const [name, schema] of Object.entries(variables.shape)) {
    const said = about.get(schema)
    if (said === undefined) throw new TypeError(`${name} has no sentence in lib/env/variables.ts`)
    const fallback = schema.safeParse(undefined).data
    if (said.otherwise === undefined) defaults.set(name, typeof fallback === 'object' ? JSON.stringify(fallback) : String(fallback))
    if (said.group !== group) lines.push('', `## ${said.group}`)
    group = said.group
    lines.push('', `# ${said.says}`)
    if (said.aliases !== undefined) lines.push(`# Also read from: ${said.aliases.join(', ')}`)
    lines.push(`# Default: ${said.otherwise ?? defaults.get(name) ?? 'none'}`, `# ${name}=${defaults.get(name) ?? ''}`)
  }
  return `${lines.join('\n')}\n`
}
