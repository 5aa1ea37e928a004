import { about, platformVariables, variables } from '#lib/env/variables'

const intro = `# Configuration

<!-- Written by \`npm run docs\` from lib/env/variables.ts: do not edit. -->

All of it is read once, by lib/env, before the first request; every problem is named at once. Empty counts as not set. In local mode
(\`npm run dev\`) the stack sets what it needs: nothing has to be configured. A name beginning with \`BATON_\` that is not in this list is
refused, for it is misspelt; not in local mode, whose stack has names of its own.
`

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

/** The text of docs/config.md: one table a group, in the order of the schema. */
export function configDoc(): string {
  const groups = new Map<string, string[]>()
  for (const [name, schema] of Object.entries(variables.shape)) {
    const said = about.get(schema)
    if (said === undefined) throw new TypeError(`${name} has no sentence in lib/env/variables.ts`)
    const fallback: unknown = schema.safeParse(undefined).data
    const otherwise = said.otherwise ?? (typeof fallback === 'string' || typeof fallback === 'number' ? String(fallback) : 'none')
    const names = [name, ...(said.aliases ?? [])].map((each) => `\`${each}\``).join(' or ')
    groups.set(said.group, [...(groups.get(said.group) ?? []), `| ${names} | ${cell(said.says)} | ${cell(otherwise)} |`])
  }
  const tables = [...groups].map(
    ([group, rows]) => `## ${group}\n\n| variable | what it is | default |\n|---|---|---|\n${rows.join('\n')}\n`,
  )
  const platform = Object.keys(platformVariables.shape).map((name) => `\`${name}\``)
  return [intro, ...tables, `## Set by the platform or the local stack\n\nNever by hand: ${platform.join(', ')}.\n`].join('\n')
}
